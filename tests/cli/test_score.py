"""``score``: a table, JSON and a picture of a clip; one sentence where there is nothing to measure."""

import json

import numpy as np
import pytest
from PIL import Image
from small_media import cut_voice, grey_clip, silence

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.media import EncodeSettings, VideoReader, VideoWriter

pytestmark = pytest.mark.long


def test_a_clip_is_scored_with_a_table_json_and_a_picture(tmp_path, capsys):
    numbers, plot = tmp_path / "numbers.json", tmp_path / "plot.png"
    command = ["score", str(CLIP), "--audio", str(VOICE), "--json", str(numbers), "--plot", str(plot)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "agreement of lips and voice" in shown and "does not follow" in shown
    score = json.loads(numbers.read_text())
    assert {"offset_frames", "correlation", "agreement", "confidence", "mouth"} <= score.keys()
    assert score["faces"] == score["frames"] == 150 and score["mouth"]["jitter"] > 0
    picture = np.asarray(Image.open(plot))
    assert picture.shape[1] == 1200 and picture.std() > 20


def faceless(path) -> None:
    grey_clip(path, 30)


def short_portrait(path) -> None:
    """The first 12 frames of the packaged clip."""
    with VideoReader(CLIP) as reader, VideoWriter(path, reader.info, EncodeSettings("ffv1"), fps=25) as writer:
        for frame in reader.frames(0, 12):
            writer.write(frame.picture)


@pytest.mark.parametrize(
    "make_clip, silent, said",
    [(short_portrait, False, "0.48 s"), (faceless, False, "No face found"), (faceless, True, "silen")],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(tmp_path, capsys, make_clip, silent, said):
    clip, voice = tmp_path / "clip.mkv", cut_voice(tmp_path / "voice.wav", 2.0)
    make_clip(clip)
    if silent:
        silence(voice, 32000)
    assert main(["score", str(clip), "--audio", str(voice)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error
