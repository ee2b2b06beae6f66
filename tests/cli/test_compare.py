"""``compare``: clips beside one another with one sound; one sentence where there is nothing to compare."""

import numpy as np
import pytest
from small_media import cut_voice, grey_clip, silence

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter, probe_video, read_waveform

pytestmark = pytest.mark.long


@pytest.fixture
def voice(tmp_path):
    return cut_voice(tmp_path / "voice.wav", 1.2)


@pytest.fixture
def portrait(tmp_path, voice):
    """1.2 s of the packaged clip with a voice of its own."""
    path = tmp_path / "portrait.mkv"
    with VideoReader(CLIP) as reader, VideoWriter(path, reader.info, EncodeSettings("ffv1"), audio=voice) as writer:
        for frame in reader.frames(0, 30):
            writer.write(frame.picture)
    return path


@pytest.fixture
def nobody(tmp_path):
    return grey_clip(tmp_path / "nobody.mkv", 35)


def compare(capsys, *words) -> tuple[int, str, str]:
    code = main(["compare", *map(str, words)])
    return code, *capsys.readouterr()


def test_clips_of_other_sizes_stand_beside_one_another_with_one_sound(tmp_path, capsys, portrait, nobody, voice):
    target = tmp_path / "beside.mp4"
    code, out, _ = compare(capsys, nobody, portrait, "--out", target, "--labels", "empty", "portrait, own voice")
    assert code == 0 and "empty: no face." in out and "portrait, own voice: The mouth" in out
    assert f"with the sound of {portrait}" in out
    info = probe_video(target)
    assert info.fps == 25 and info.has_audio
    with VideoReader(target) as reader:
        frames = [frame.rgb().astype(int) for frame in reader.frames()]
    assert len(frames) == 35  # as long as the longest
    heard, spoken = read_waveform(target), read_waveform(voice)
    assert len(heard) == pytest.approx(1.4 * 16000, abs=1100)
    assert np.corrcoef(heard[: len(spoken)], spoken)[0, 1] > 0.9
    with VideoReader(CLIP) as reader:
        source = next(reader.frames_at([10])).rgb()
    right = frames[10][52 : 52 + 512, info.width - 16 - 512 : info.width - 16]
    assert np.abs(right - source).mean() < 5  # grey levels: H.264, twice


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "two clips or more"),
        (["nobody", "nobody"], "None of the 2 clips has sound"),
        (["nobody", "nobody", "--audio", "voice"], "None of the 2 clips shows a face"),
        (["nobody", "nobody", "--audio", "silent"], "silent"),
        (["nobody", "absent"], "there is no such file"),
        (["nobody", "portrait", "--labels", "one"], "1 labels were given for 2 clips"),
        (["nobody", "portrait", "--out", "portrait"], "same file as the input"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(tmp_path, capsys, portrait, nobody, voice, words, said):
    files = {"nobody": nobody, "portrait": portrait, "voice": voice, "absent": tmp_path / "absent.mp4"}
    files["silent"] = silence(tmp_path / "silent.wav", 32000)
    target = tmp_path / "beside.mp4"
    code, out, err = compare(
        capsys, *(["--out", target] if "--out" not in words else []), *(files.get(w, w) for w in words)
    )
    error = err.splitlines()[-1]
    assert code == 2 and out == "" and error.startswith("error: ") and said in error
    assert not target.exists() and not list(tmp_path.glob(".latentsync-*"))
