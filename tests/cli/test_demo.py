"""``demo`` as a newcomer runs it: the model of the package makes its portrait say a sentence it was not trained on."""

import json
import re

import pytest
from PIL import Image

from latentsync_core.__main__ import main
from latentsync_core.media import VideoReader
from latentsync_core.models.students import EMBEDDED_STUDENT

pytestmark = pytest.mark.long


def test_the_mouth_says_the_sentence(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "--preset turbo" in printed
    own, other = map(float, re.search(r"asks for (-?[\d.]+), with other words (-?[\d.]+)\)", printed).groups())
    assert own > 0.7 and other < 0.35
    assert {path.name for path in tmp_path.iterdir()} == {"demo.mp4", "demo.json", "demo.png", "demo_mouth.png"}
    report = json.loads((tmp_path / "demo.json").read_text())
    scores = report["scores"]
    assert report["settings"]["steps"] == 4 and report["models"]["lora"].startswith(str(EMBEDDED_STUDENT))
    assert scores["agreement"] > 0.6 and scores["offset_frames"] == 0
    with VideoReader(tmp_path / "demo.mp4") as reader:
        assert sum(1 for _ in reader.frames()) == 135  # as long as the voice
    with Image.open(tmp_path / "demo_mouth.png") as curve:
        assert len(curve.convert("RGB").getcolors(100_000)) > 20
