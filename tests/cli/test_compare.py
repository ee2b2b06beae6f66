"""``compare``: clips beside one another with one sound; one sentence where there is nothing to compare."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_media import contents, grey_clip, silence

from latentsync_core.__main__ import main
from latentsync_core.media import VideoReader, read_waveform

pytestmark = pytest.mark.long

SPEAKER = Path(__file__).parents[1] / "data" / "held_out.mp4"  # drawn, 4 s, with its own voice


@pytest.fixture
def nobody(tmp_path):
    return grey_clip(tmp_path / "nobody.mkv", 30)


def compare(capsys, *words) -> tuple[int, str, str]:
    code = main(["compare", *map(str, words)])
    return code, *capsys.readouterr()


def test_clips_of_other_sizes_stand_beside_one_another_with_one_sound(tmp_path, capsys, nobody):
    target = tmp_path / "beside.mp4"
    code, out, _ = compare(capsys, nobody, SPEAKER, "--out", target, "--labels", "empty", "drawn, own voice")
    assert code == 0 and "empty: no face." in out and f"with the sound of {SPEAKER}" in out
    assert re.search(r"drawn, own voice: The mouth clearly follows .*agreement 0\.[5-9].* on time", out)
    with VideoReader(target) as reader:
        frames = [frame.rgb() for frame in reader.frames()]
    assert len(frames) == 100  # as long as the longest, 30 frames of the other
    heard, spoken = read_waveform(target), read_waveform(SPEAKER)
    assert len(heard) == pytest.approx(4 * 16000, abs=1100)
    assert np.corrcoef(heard[: len(spoken)], spoken[: len(heard)])[0, 1] > 0.9
    with VideoReader(SPEAKER) as reader:
        source = Image.fromarray(next(reader.frames_at([50])).rgb()).resize((240, 240), Image.Resampling.BICUBIC)
    right = np.asarray(frames[50])[52 : 52 + 240, -286:-46]  # in the middle of a cell of 300 pixels
    assert np.abs(right.astype(int) - np.asarray(source)).mean() < 5  # grey levels: H.264


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "two clips or more"),
        (["nobody", "nobody"], "None of the 2 clips has sound"),
        (["nobody", "nobody", "--audio", "speaker"], "None of the 2 clips shows a face"),
        (["nobody", "speaker", "--audio", "silent"], "silent"),
        (["nobody", "absent"], "there is no such file"),
        (["nobody", "speaker", "--labels", "one"], "1 labels were given for 2 clips"),
        (["nobody", "speaker", "--out", "nobody"], "same file as the input"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(tmp_path, capsys, nobody, words, said):
    files = {"nobody": nobody, "speaker": SPEAKER, "absent": tmp_path / "absent.mp4"}
    files["silent"] = silence(tmp_path / "silent.wav", 32000)
    before = contents(tmp_path)
    code, out, err = compare(capsys, "--out", tmp_path / "beside.mp4", *(files.get(word, word) for word in words))
    error = err.splitlines()[-1]
    assert code == 2 and out == "" and error.startswith("error: ") and said in error
    assert contents(tmp_path) == before
