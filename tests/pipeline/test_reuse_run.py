"""A whole run with feature reuse: told in the report and close to the run without."""

import wave

import numpy as np
import pytest
import torch

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.media import EncodeSettings, VideoReader
from latentsync_core.models.loading import load_models
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings

pytestmark = pytest.mark.long

FRAMES = 4
STEPS = 6


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    path = tmp_path_factory.mktemp("voice") / "short.wav"
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(FRAMES / 25 * source.getframerate())))
    return path


def pictures(path) -> torch.Tensor:
    """(frames, h, w, 3) in 0..255."""
    with VideoReader(path) as reader:
        return torch.tensor(np.stack([frame.rgb() for frame in reader.frames(0, FRAMES)])).float()


def test_a_run_with_reuse_is_reported_and_looks_the_same(voice, tmp_path):
    models, deep = load_models("embedded", device="cpu"), []
    models.unet.mid_block.register_forward_hook(lambda *_: deep.append(1))
    lossless = EncodeSettings(codec="ffv1")
    runs = {}
    for name, options in (("full", {}), ("reused", {"reuse": 3, "reuse_null": 6})):
        settings = Settings(steps=STEPS, encode=lossless, **options)
        report = lipsync(CLIP, voice, tmp_path / f"{name}.mkv", models, settings)
        runs[name] = report, len(deep)
        deep.clear()
    assert runs["full"][1] == STEPS and runs["reused"][1] == 2  # steps 0 and 3
    settings = runs["reused"][0].to_dict()["settings"]
    assert (settings["reuse"], settings["reuse_null"]) == (3, 6)
    full, reused = (pictures(tmp_path / f"{name}.mkv") for name in runs)
    error = (full - reused).square().mean().sqrt()
    assert 0 < error < 1  # grey levels of 255 over the picture
