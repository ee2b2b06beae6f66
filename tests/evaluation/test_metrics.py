"""Metrics on curves and images with known values."""

import numpy as np
import pytest
from seeded import draw

from latentsync_core.evaluation.metrics import (
    best_lag,
    border_energy,
    flicker,
    psnr,
    ssim,
)
from latentsync_core.evaluation.scores import Scores, average, table
from latentsync_core.faces.mouth_opening import correlation

CURVE = np.convolve(draw("a mouth", 120), np.hanning(9), "same")


@pytest.mark.parametrize("lag", [-4, -1, 0, 1, 3])
def test_the_lag_of_a_late_mouth_is_found(lag):
    assert best_lag(np.roll(CURVE, lag)[10:-10], CURVE[10:-10]) == lag


def test_correlation_ignores_scale_and_frames_without_a_face():
    found = 0.3 * CURVE + 2
    found[::7] = np.nan
    assert correlation(found, CURVE) == pytest.approx(1)
    assert abs(correlation(draw("another mouth", 120), CURVE)) < 0.3


def test_pictures_are_compared_in_decibels_and_structure():
    pytest.importorskip("skimage", reason="SSIM comes with scikit-image")
    truth = np.clip(128 + 40 * draw("faces", 4, 32, 32, 3), 0, 255).astype(np.uint8)
    brighter = np.clip(truth.astype(int) + 5, 0, 255).astype(np.uint8)
    noise = np.clip(128 + 40 * draw("noise", 4, 32, 32, 3), 0, 255).astype(np.uint8)
    assert psnr(truth, truth) == float("inf") and ssim(truth, truth) == pytest.approx(1)
    assert psnr(brighter, truth) == pytest.approx(20 * np.log10(255 / 5), abs=0.2)
    assert ssim(brighter, truth) > 0.98 > 0.2 > ssim(noise, truth)


def test_flicker_is_zero_for_steady_motion():
    steady = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    flashing = steady.copy()
    flashing[10] += 40
    assert flicker(steady) == 0 and flicker(flashing) == pytest.approx((40 + 80 + 40) / 18)


def test_a_discontinuity_between_windows_raises_the_border_energy():
    walk = (3 * np.arange(48) % 5 + np.arange(48)).astype(np.uint8)[:, None, None, None] * np.ones(
        (1, 4, 4, 3), np.uint8
    )
    jumping = walk.copy()
    jumping[16:] += 60
    assert border_energy(jumping, [16, 32]) > 4 * border_energy(walk, [16, 32])
    assert np.isnan(border_energy(walk, []))


def test_a_table_has_a_row_for_each_and_no_numbers_where_there_are_none():
    nan = float("nan")
    scores = [Scores(0.9, -2, 0.1, 30, 0.95, 1.1, nan, 0.5), Scores(0.7, 1, 0.0, 28, 0.93, 0.9, nan, 0.6)]
    mean = average(scores)
    assert (mean.correlation, mean.lag, mean.psnr) == (pytest.approx(0.8), 1.5, 29) and np.isnan(mean.border_energy)
    assert table([("guidance 1.5", mean)]).splitlines()[-1] == (
        "| guidance 1.5 | 0.800 | 1.50 | 0.050 | 29.0 | 0.940 | 1.00 | - | 0.55 |"
    )
    assert mean.to_dict()["border_energy"] is None
