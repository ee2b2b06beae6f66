"""Offset, distance and confidence equal the reference's, and the sign says which way the sound is off."""

import numpy as np
import pytest
from seeded import draw

from latentsync_core.scoring import sync_confidence
from latentsync_core.scoring.sync_confidence import BLOCK_FRAMES, frame_confidences, shift_curve, shift_distances


@pytest.fixture(scope="module")
def series():
    lips = draw("syncnet_v2.lips", 90, 64)
    return lips, np.roll(lips, 3, axis=0) + 0.5 * draw("syncnet_v2.other", 90, 64)


def test_recorded_series_have_the_reference_numbers(series, golden):
    expected, found = golden("syncnet_v2.npz"), sync_confidence(*series)
    assert found.offset == expected["offset"]
    assert found.distance == pytest.approx(float(expected["distance"]), abs=1e-3)
    assert found.confidence == pytest.approx(float(expected["confidence"]), abs=1e-3)
    assert np.abs(shift_curve(shift_distances(*series)) - expected["mean_distances"]).max() < 1e-3


@pytest.mark.parametrize("late", [-15, -4, 0, 1, 15])
def test_a_voice_that_comes_late_has_a_negative_offset(series, late):
    lips = series[0]
    assert sync_confidence(lips, np.roll(lips, late, axis=0)).offset == -late


def test_a_voice_of_another_clip_has_no_confidence(series):
    lips, voice = series
    strange = sync_confidence(lips, draw("another voice", 90, 64))
    assert strange.confidence < 0.2 * sync_confidence(lips, voice).confidence


def test_long_series_are_compared_block_by_block():
    lips, voice = draw("lips", BLOCK_FRAMES + 50, 3), draw("voice", BLOCK_FRAMES + 50, 3)
    distances = shift_distances(lips, voice)
    for frame, shift in ((BLOCK_FRAMES - 1, 14), (BLOCK_FRAMES, -15), (BLOCK_FRAMES + 49, 0)):
        expected = np.linalg.norm(lips[frame] - voice[frame + shift]) if frame + shift < len(voice) else None
        assert distances[frame, 15 + shift] == pytest.approx(expected, abs=1e-4)
    assert distances[-1, 16] == pytest.approx(np.linalg.norm(lips[-1]), abs=1e-4)  # beyond the end the voice is zero


def test_the_second_that_is_out_of_sync_is_seen():
    lips = draw("a clip", 150, 32)
    voice = np.concatenate([lips[:60], draw("babble", 30, 32), lips[90:]])
    confidences = frame_confidences(shift_distances(lips, voice))
    assert confidences.shape == (150,) and confidences[64:86].max() < 0.5 * confidences[:56].min()


def test_series_of_unlike_shape_are_refused(series):
    with pytest.raises(ValueError, match=r"one shape \(n, d\), got \(90, 64\) and \(80, 64\)"):
        sync_confidence(series[0], series[1][:80])
    with pytest.raises(ValueError, match="one shape"):
        sync_confidence(series[0][:0], series[1][:0])
