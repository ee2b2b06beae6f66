"""Lags between curves, and correlation as they use it."""

import numpy as np
import pytest
from seeded import draw

from latentsync_core.faces.mouth_opening import correlation
from latentsync_core.scoring.lag import best_lag, lag_curve
from latentsync_core.scoring.lip_sync import local_correlation

CURVE = np.convolve(draw("a mouth", 120), np.hanning(9), "same")


@pytest.mark.parametrize("late", [-10, -4, -1, 0, 1, 3, 10])
def test_by_how_many_frames_the_second_curve_is_late_is_found(late):
    lag = best_lag(lag_curve(CURVE[20:-20], np.roll(CURVE, late)[20:-20]))
    assert lag.frames == late and lag.correlation == pytest.approx(1) and lag.confidence > 0.8


def test_unknown_frames_and_scale_do_not_matter():
    found = 0.3 * CURVE + 2
    found[::7] = np.nan
    assert best_lag(lag_curve(found, CURVE)).frames == 0
    assert correlation(found, CURVE) == pytest.approx(1)
    assert abs(correlation(draw("another mouth", 120), CURVE)) < 0.3


def test_unrelated_and_constant_curves_give_no_confident_lag():
    other = np.convolve(draw("another mouth", 120), np.hanning(9), "same")
    assert best_lag(lag_curve(other, CURVE)).confidence < 0.6
    frames, value, confidence = best_lag(lag_curve(np.zeros(120), CURVE))
    assert frames == 0 and np.isnan(value) and np.isnan(confidence)


def test_a_clip_shorter_than_the_search_is_searched_as_far_as_it_goes():
    curve = lag_curve(CURVE[:20], CURVE[:20])
    assert best_lag(curve).frames == 0
    assert np.isnan(curve[:5]).all() and np.isfinite(curve[10:21]).all()


def test_an_unknown_frame_leaves_the_agreement_around_it_known():
    curve = np.sin(np.arange(100) / 3)
    holed = np.where(np.arange(100) == 10, np.nan, curve)
    agreement = local_correlation(curve, holed)
    assert np.flatnonzero(np.isnan(agreement)).tolist() == [10]
    assert np.abs(agreement - local_correlation(curve, curve))[50:].max() < 0.05
