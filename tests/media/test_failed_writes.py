"""What cannot be written is told in a sentence, and nothing half-finished is left behind."""

import subprocess
import sys
from fractions import Fraction

import av
import pytest
from written import FAST, copy_video, only_file

from latentsync_core.errors import LatentSyncError
from latentsync_core.media import (
    EncodeSettings,
    VideoReader,
    VideoWriter,
    probe_video,
)


def test_what_codec_and_container_cannot_do_is_refused(make_clip, make_wav, speech, tmp_path):
    source = make_clip("source.mp4", frames=2)
    voice = make_wav("voice.wav", speech(0.5))
    tall = make_clip("tall.mkv", codec="ffv1", frames=1, pixel_format="yuv440p")
    for name, settings, clip, reason in (
        ("a.mp4", EncodeSettings(codec="ffv1"), source, "FFV1 cannot be written to .mp4"),
        ("a.mp4", EncodeSettings(audio_codec="pcm"), source, "pcm audio cannot be written to .mp4"),
        ("a.mp4", EncodeSettings(lossless=True), tall, "cannot keep its pixel format yuv440p"),
    ):
        with pytest.raises(LatentSyncError, match=reason):
            copy_video(clip, tmp_path / name, settings, audio=voice)
        assert only_file(tmp_path, "source.mp4", "voice.wav", "tall.mkv")
    for wrong in ({"codec": "vp9"}, {"crf": 60}, {"preset": "quick"}, {"audio_codec": "mp3"}):
        with pytest.raises(LatentSyncError, match="choose"):
            EncodeSettings(**wrong)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(failure, make_clip, make_wav, speech, tmp_path):
    source, voice = make_clip("source.mp4"), make_wav("voice.wav", speech(1))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.mp4").write_bytes(b"the result of yesterday")
    with VideoReader(source) as reader, pytest.raises(failure):
        with VideoWriter(folder / "old.mp4", reader.info, FAST, audio=voice, overwrite=True) as writer:
            for frame in reader.frames():
                writer.write(frame.picture)
                assert len(list(folder.iterdir())) == 2
                if frame.index == 5:
                    raise failure
    assert only_file(folder, "old.mp4") and (folder / "old.mp4").read_bytes() == b"the result of yesterday"


def test_a_result_replaces_only_when_asked(make_clip, tmp_path):
    source = make_clip("source.mp4")
    (tmp_path / "old.mp4").write_bytes(b"old")
    with pytest.raises(LatentSyncError, match="exists already"):
        copy_video(source, tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_bytes() == b"old"
    assert probe_video(copy_video(source, tmp_path / "old.mp4", overwrite=True)).frames == 12
    with pytest.raises(LatentSyncError, match="same file as the input"):
        copy_video(source, source, overwrite=True)
    assert only_file(tmp_path, "source.mp4", "old.mp4")


def test_no_pictures_no_file(make_clip, tmp_path):
    with pytest.raises(LatentSyncError, match="not one picture was written"):
        copy_video(make_clip("source.mp4"), tmp_path / "a.mp4", frames=0)
    assert only_file(tmp_path, "source.mp4")


def test_pictures_are_left_as_they_are_and_misuse_is_told(make_clip, tmp_path):
    with VideoReader(make_clip("source.mp4")) as reader:
        with VideoWriter(tmp_path / "a.mp4", reader.info, FAST) as writer:
            frame = next(reader.frames())
            stamp = frame.picture.pts, frame.picture.time_base
            for _ in range(3):  # the same picture again, as in a hold
                writer.write(frame.picture)
            assert (frame.picture.pts, frame.picture.time_base) == stamp
            with pytest.raises(ValueError, match="a time belongs"):
                writer.write(frame.picture, Fraction(1))
            with pytest.raises(ValueError, match="a picture of 8x8"):
                writer.write(av.VideoFrame(8, 8, "yuv420p"))
        assert probe_video(tmp_path / "a.mp4").frames == 3


DISK_FULL = """
import resource, signal, sys
import numpy as np, av
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter
source, target, limit, voice = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    with VideoReader(source) as reader, VideoWriter(target, reader.info, EncodeSettings(crf=1), audio=voice) as writer:
        for frame in reader.frames_at(list(range(12)) * 10):
            writer.write(frame.picture)
except LatentSyncError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.long
@pytest.mark.parametrize("name", ["full.mp4", "full.mkv"])
def test_a_full_disk_is_told_and_cleaned_up(name, make_clip, make_wav, speech, tmp_path):
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_FSIZE is not None
    source, voice = make_clip("source.mp4", size=(160, 120)), make_wav("voice.wav", speech(5))
    command = [sys.executable, "-c", DISK_FULL, str(source), str(tmp_path / name), "100000000", str(voice)]
    assert subprocess.run(command, timeout=60).returncode == 0
    whole = (tmp_path / name).stat().st_size
    (tmp_path / name).unlink()
    for limit in (20, whole // 4, whole - 3000, whole - 10):  # early, midway, and only the index does not fit
        command = [sys.executable, "-c", DISK_FULL, str(source), str(tmp_path / name), str(limit), str(voice)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 2, (limit, result.stderr)
        assert name in result.stdout and "the disk is full" in result.stdout and result.stdout.count("\n") == 1
        assert only_file(tmp_path, "source.mp4", "voice.wav")
