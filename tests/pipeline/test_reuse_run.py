"""A whole run with feature reuse or several windows at once: told in the report, and how close to the plain run."""

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


def test_a_run_with_windows_at_once_writes_the_same_pictures(voice, tmp_path):
    models, passes = load_models("embedded", device="cpu"), []
    models.unet.conv_in.register_forward_hook(lambda _, args, out: passes.append(len(args[0])))
    shown = {}
    for batch in (1, 2):
        settings = Settings(steps=2, window=FRAMES // 2, batch=batch, encode=EncodeSettings(codec="ffv1"))
        report = lipsync(CLIP, voice, tmp_path / f"{batch}.mkv", models, settings).to_dict()
        assert (report["settings"]["batch"], report["memory"]["windows_at_once"]) == (batch, batch)
        assert passes == [FRAMES // 2 * batch] * (4 // batch)  # two windows, two steps
        shown[batch] = pictures(tmp_path / f"{batch}.mkv")
        passes.clear()
    difference = (shown[1] - shown[2]).abs()
    # Sums of another order are off by a millionth of a grey level; where that lies at a half, it rounds the other way.
    assert difference.max() <= 1 and difference.mean() < 1e-2
