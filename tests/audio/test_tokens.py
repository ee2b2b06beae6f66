"""Every frame attends to the feature steps that the reference gives it, at any rate; positions are optional."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.audio import (
    AudioTokens,
    encode_positions,
    extract_features,
    frame_tokens,
    indices_at,
    position_table,
    window_indices,
)
from latentsync_core.errors import LatentSyncError

RATES = [25, 24, 30, 29.97, 50, 12]


@pytest.mark.parametrize("seconds", [7.3, 41.3])
@pytest.mark.parametrize("fps", RATES)
def test_windows_equal_the_reference(whisper, speech, golden, seconds, fps):
    expected = golden("whisper.npz")
    length = int(expected[f"shape_{seconds}"][0])
    frames = int(expected[f"chunks_count_{seconds}_{fps}"])
    assert np.array_equal(window_indices(length, fps, frames), expected[f"chunks_index_{seconds}_{fps}"])


@pytest.mark.parametrize("fps", RATES)
def test_tokens_equal_the_reference(whisper, speech, golden, fps):
    expected = golden("whisper.npz")
    features = extract_features(speech(7.3), whisper, joins="reference")
    tokens = frame_tokens(features, fps, int(expected[f"chunks_count_7.3_{fps}"]))
    assert tokens.shape[1:] == (50, 48)
    assert np.abs(tokens.mean(dim=(1, 2)).numpy() - expected[f"chunks_mean_7.3_{fps}"]).max() < 1e-3


def test_times_and_rates_agree_exactly():
    fps = Fraction(30000, 1001)
    times = [i / fps for i in range(3000)]
    assert torch.equal(indices_at(10_000, times), window_indices(10_000, fps, 3000))


def test_lazy_tokens_are_the_same_tokens():
    features = torch.randn(100, 5, 8, generator=torch.Generator().manual_seed(1))
    indices = window_indices(100, 25, 48)
    tokens = AudioTokens(features, indices)
    assert len(tokens) == 48
    assert torch.equal(tokens[16:32], frame_tokens(features, 25, 48)[16:32])
    with_positions = AudioTokens(features, indices, positions=True)
    assert torch.equal(with_positions[3:7], tokens[3:7] + position_table(50, 8))


def test_position_table_follows_the_formula():
    table = position_table(50, 384)
    assert table.dtype == torch.float32
    for p, j in ((0, 0), (7, 3), (49, 191)):
        angle = p / 10000 ** (2 * j / 384)
        assert table[p, 2 * j].item() == pytest.approx(np.sin(angle), abs=1e-6)
        assert table[p, 2 * j + 1].item() == pytest.approx(np.cos(angle), abs=1e-6)


@pytest.mark.parametrize(
    ("mode", "trained", "added"),
    [("on", None, True), ("on", "off", True), ("off", "on", False), ("auto", None, False), ("auto", "on", True)]
    + [("auto", True, True), ("auto", "off", False), ("auto", False, False)],
)
def test_auto_follows_the_checkpoint(mode, trained, added):
    tokens = torch.ones(2, 50, 8)
    changed = not torch.equal(encode_positions(tokens, mode, trained), tokens)
    assert changed == added
    assert torch.equal(tokens, torch.ones(2, 50, 8))


def test_unknown_modes_are_refused():
    with pytest.raises(LatentSyncError, match="maybe"):
        encode_positions(torch.ones(1, 2, 4), "maybe")
    with pytest.raises(LatentSyncError, match="sometimes"):
        encode_positions(torch.ones(1, 2, 4), "auto", "sometimes")
