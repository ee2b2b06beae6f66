"""The voice on the canvas: silence rests or keeps, an offset delays, and the gate is handed on frame by frame."""

import importlib
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

FRAMES, RATE = 40, 22050


@pytest.fixture(scope="module")
def nodes(pack):
    return importlib.import_module(f"{pack.__name__}.nodes.audio")


@pytest.fixture(scope="module")
def whisper(pack):
    core = f"{pack.__name__}.latentsync_core"
    encoder = importlib.import_module(f"{core}.models.embedded").embedded_models()[2]
    return importlib.import_module(f"{pack.__name__}.nodes.host.memory").patch_small_model(encoder, on_cpu=True)


@pytest.fixture(scope="module")
def audio(pack):
    """0.6 s of the demo's voice and 1 s of silence."""
    core = f"{pack.__name__}.latentsync_core"
    voice = importlib.import_module(f"{core}.demo").VOICE
    waveform = importlib.import_module(f"{core}.media").read_waveform(voice, RATE)[: round(0.6 * RATE)]
    return {"waveform": torch.from_numpy(np.pad(waveform, (0, RATE)))[None, None], "sample_rate": RATE}


def laid_out(nodes, features, offset: int = 0):
    """Audio Chunks over 40 frames that all show a face: clip, count, rate, gate."""
    track = SimpleNamespace(present=np.ones(FRAMES, bool), cuts=())
    times = tuple(Fraction(i, 25) for i in range(FRAMES))
    faces = SimpleNamespace(track=track, times=times, fps=Fraction(25), variable=False)
    return nodes.AudioChunks.execute(features, faces, "video", "none", 16, 0.0, offset).args


def test_keep_hands_the_gate_to_the_blend_and_rest_changes_what_is_heard(nodes, whisper, audio):
    heard = {}
    for silence in ("off", "rest", "keep"):
        features = nodes.AudioFeatures.execute(audio, whisper, "overlap", False, silence).args[0]
        heard[silence] = (features, *laid_out(nodes, features))
    gate = np.array(heard["off"][4])
    assert len(gate) == FRAMES and gate[5] == 1 and gate[-1] == 0
    assert heard["off"][1].shown is None and heard["rest"][1].shown is None
    assert np.array_equal(heard["keep"][1].shown, gate)
    plain, rested, kept = (heard[name][0].features for name in ("off", "rest", "keep"))
    assert torch.equal(plain, kept) and torch.equal(plain[:30], rested[:30])
    assert not torch.allclose(plain[45:], rested[45:], atol=0.01)


def test_an_offset_moves_what_is_heard_and_the_gate(nodes, whisper, audio):
    features = nodes.AudioFeatures.execute(audio, whisper, "overlap", False).args[0]
    now, late = laid_out(nodes, features), laid_out(nodes, features, 80)
    assert torch.equal(late[0].tokens[4:30], now[0].tokens[2:28])
    assert np.allclose(late[3][2:], now[3][:-2])
