"""The result as a file: the sound in time, the rate as asked, any name, the same bytes again, memory that stays."""

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from written import FAST, copy_video, only_file, sound_of

from latentsync_core.media import (
    EncodeSettings,
    VideoReader,
    VideoWriter,
    probe_audio,
    probe_video,
    waveform_blocks,
)


def test_the_index_comes_first(make_clip, tmp_path):
    data = copy_video(make_clip("source.mp4"), tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_variable_times_are_kept_and_the_sound_lasts_as_long(make_clip, make_wav, speech, tmp_path):
    ticks = [0, 40, 80, 200, 240, 290, 500, 540, 580, 900]
    source = make_clip("phone.mp4", frames=10, ticks=ticks)
    voice = make_wav("voice.wav", speech(3.0, 48000), 48000)
    copy_video(source, tmp_path / "a.mp4", times_given=True, audio=voice)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert [frame.time * 1000 for frame in reader.frames()] == ticks
        assert reader.info.duration == pytest.approx(1.22)  # the last picture lasts as long as the one before
    assert len(sound_of(tmp_path / "a.mp4")) == round(1.22 * 48000)


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0])
@pytest.mark.parametrize(
    ("name", "settings", "rate", "codec"),
    [
        ("a.mp4", FAST, 44100, "aac"),
        ("a.mov", FAST, 16000, "aac"),
        ("a.mkv", replace(FAST, audio_codec="flac"), 48000, "flac"),
        ("a.mov", replace(FAST, audio_codec="pcm"), 44100, "pcm_s16le"),
        ("a.mp4", replace(FAST, audio_codec="alac"), 22050, "alac"),
        ("a.mp4", replace(FAST, audio_codec="flac"), 22050, "flac"),
        ("a.mp4", FAST, 192000, "alac"),
        ("a.mkv", FAST, 192000, "flac"),
        ("a.mp4", replace(FAST, lossless=True), 44100, "alac"),
        ("a.mkv", EncodeSettings(codec="ffv1"), 44100, "flac"),
        ("a.mp4", FAST, 8000, "aac"),
    ],
)
def test_the_voice_is_as_long_as_the_pictures_and_in_time(
    seconds, name, settings, rate, codec, make_clip, make_wav, speech, tmp_path
):
    source = make_clip("source.mp4", frames=50)  # 2 s
    samples = np.stack([speech(seconds, rate), speech(seconds, rate, seed=2)], 1)
    copy_video(source, tmp_path / name, settings, audio=make_wav("voice.wav", samples, rate))
    info = probe_audio(tmp_path / name)
    assert (info.codec, info.sample_rate, info.channels) == (codec, rate, 2)
    expected = np.zeros((2 * rate, 2), np.int16)
    expected[: len(samples)] = samples[: 2 * rate]
    sound = sound_of(tmp_path / name)
    assert len(sound) == 2 * rate
    if codec == "aac":
        assert np.sqrt(np.mean((sound - expected / 32768) ** 2)) < 0.02
        for lag in (-2, -1, 1, 2):
            rolled = np.roll(sound, lag, axis=0)
            assert np.mean((sound - expected / 32768) ** 2) < np.mean((rolled - expected / 32768) ** 2)
    else:
        assert (sound == expected).all()


def test_deep_and_float_samples_survive_lossless(make_clip, tmp_path):
    waveform = np.random.default_rng(0).uniform(-1, 1, (1, 8000)).astype(np.float32)
    source = make_clip("source.mp4", frames=25)
    settings = EncodeSettings(codec="ffv1")
    copy_video(source, tmp_path / "a.mkv", settings, audio=waveform_blocks(waveform, 8000))
    assert (sound_of(tmp_path / "a.mkv").T == waveform).all()


def test_surround_keeps_its_channels(make_clip, tmp_path, speech):
    waveform = np.stack([speech(1.0, 48000, seed) for seed in range(6)]).astype(np.float32) / 40000
    copy_video(make_clip("source.mp4", frames=25), tmp_path / "a.mp4", audio=waveform_blocks(waveform, 48000))
    info = probe_audio(tmp_path / "a.mp4")
    assert (info.codec, info.layout) == ("aac", "5.1")
    decoded = sound_of(tmp_path / "a.mp4")
    assert np.corrcoef(decoded[:48000, 2], waveform[2])[0, 1] > 0.99


def test_a_duration_may_be_given(make_clip, make_wav, speech, tmp_path):
    copy_video(
        make_clip("source.mp4", frames=25),
        tmp_path / "a.mkv",
        EncodeSettings(codec="ffv1"),
        audio=make_wav("voice.wav", speech(3)),
        duration=Fraction(9, 10),
    )
    assert len(sound_of(tmp_path / "a.mkv")) == 0.9 * 16000


def test_another_rate_may_be_given(make_clip, tmp_path):
    copy_video(make_clip("source.mp4", frames=10), tmp_path / "a.mp4", fps=Fraction(10))
    info = probe_video(tmp_path / "a.mp4")
    assert info.fps == 10 and info.duration == pytest.approx(1.0)


@pytest.mark.long
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_clips_of_a_frame_or_a_few(codec, make_clip, make_wav, speech, tmp_path):
    source, voice = make_clip("source.mp4", frames=4), make_wav("voice.wav", speech(1))
    for frames in (1, 2, 3, 4):
        for attempt in range(10):  # what the encoder reads by mistake differs from one to the next
            name = f"{frames}-{attempt}.mp4"
            target = copy_video(source, tmp_path / name, replace(FAST, codec=codec), frames=frames, audio=voice)
        with VideoReader(target) as reader:
            assert [frame.time for frame in reader.frames()] == [Fraction(i, 25) for i in range(frames)]


@pytest.mark.parametrize("name", ["a" * 246 + ".mp4", "ein schöner 'Film' \"neu\" 影.mp4", "a:b.mov", "100%d.mkv"])
def test_any_name_is_written(name, make_clip, make_wav, speech, tmp_path):
    if os.name != "posix" and set(name) & set(':"'):
        pytest.skip("no such names here")
    target = copy_video(make_clip("source.mp4"), tmp_path / name, audio=make_wav("v.wav", speech(1)))
    assert probe_video(target).has_audio and only_file(tmp_path, "source.mp4", "v.wav", name)


@pytest.mark.long
def test_memory_does_not_grow_with_length(make_clip, make_wav, speech, tmp_path):
    resource = pytest.importorskip("resource")
    source = make_clip("source.mp4", frames=12, size=(640, 480))
    voice = make_wav("voice.wav", speech(30))

    def write(frames):
        with (
            VideoReader(source) as reader,
            VideoWriter(tmp_path / f"{frames}.mkv", reader.info, FAST, audio=voice) as w,
        ):
            for index in range(frames):
                w.write(next(reader.frames_at([index % 12])).picture)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    first = write(100)
    assert write(600) - first < 40_000  # KiB; 500 pictures of this size are 230 MB


@pytest.mark.long
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_same_pictures_give_the_same_file_whatever_memory_holds(codec, make_clip, make_wav, speech, tmp_path):
    source, voice = make_clip("source.mp4", frames=50, size=(160, 120)), make_wav("voice.wav", speech(2))
    code = (
        "import sys\n"
        "from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter\n"
        "source, voice, target, codec = sys.argv[1:]\n"
        "settings = EncodeSettings(codec=codec, preset='fast')\n"
        "with VideoReader(source) as reader, VideoWriter(target, reader.info, settings, audio=voice) as writer:\n"
        "    for frame in reader.frames():\n"
        "        writer.write(frame.picture)\n"
    )
    files = []
    for filling in ("0", "85", "165"):  # glibc fills fresh memory with this byte
        target = tmp_path / f"{filling}.mp4"
        command = [sys.executable, "-c", code, str(source), str(voice), str(target), codec]
        subprocess.run(command, check=True, timeout=60, env={**os.environ, "MALLOC_PERTURB_": filling})
        files.append(target.read_bytes())
    assert files[0] == files[1] == files[2]
