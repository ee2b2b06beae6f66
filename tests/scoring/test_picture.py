"""The picture of the mouth: known answers for flicker, sharpness, window borders and likeness."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from seeded import draw

from latentsync_core.scoring.picture import (
    CROP,
    MouthRegion,
    PictureStatistics,
    border_energy,
    border_ratio,
    flicker,
    psnr,
    ssim,
)

FACE = np.clip(128 + 40 * draw("a face", CROP, CROP, 3), 0, 255).astype(np.uint8)


def test_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="the other SSIM comes with scikit-image")
    brighter = np.clip(FACE.astype(int) + 9, 0, 255).astype(np.uint8)
    noise = np.clip(128 + 40 * draw("noise", CROP, CROP, 3), 0, 255).astype(np.uint8)
    options = {"channel_axis": -1, "data_range": 255, "gaussian_weights": True, "use_sample_covariance": False}
    for other in (brighter, noise, FACE):
        assert ssim(FACE, other) == pytest.approx(metrics.structural_similarity(FACE, other, **options), abs=1e-6)


def test_psnr_is_in_decibels():
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(grey, grey) == float("inf")
    assert psnr(grey + np.uint8(5), grey) == pytest.approx(20 * np.log10(255 / 5))


def test_flicker_is_zero_for_steady_motion():
    steady = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    flashing = steady.copy()
    flashing[10] += 40
    assert flicker(steady) == 0 and flicker(flashing) == pytest.approx((40 + 80 + 40) / 18)


def test_a_blurred_mouth_lowers_the_sharpness_of_the_redrawn_region_alone():
    blurred = np.where(
        MouthRegion.fixed().inside[..., None], gaussian_filter(FACE.astype(float), (2, 2, 0)), FACE
    ).astype(np.uint8)
    statistics = PictureStatistics()
    statistics.add(FACE)
    statistics.add(blurred)
    assert statistics.sharpness[0] == pytest.approx(1, abs=0.1)
    assert statistics.sharpness[1] < 0.3


def test_nothing_is_compared_across_a_gap_or_a_cut():
    statistics = PictureStatistics()
    for crop in (FACE, FACE, None, FACE, FACE + np.uint8(1)):
        statistics.add(crop)
    statistics.new_shot()
    statistics.add(255 - FACE)
    known = np.isfinite(statistics.changes)
    assert known.tolist() == [False, True, False, False, True, False]
    assert not np.isfinite(statistics.flickers).any()


def test_a_discontinuity_between_windows_shows():
    walk = (3 * np.arange(48) % 5 + np.arange(48)).astype(np.uint8)[:, None, None, None] * np.ones(
        (1, 4, 4, 3), np.uint8
    )
    jumping = walk.copy()
    jumping[16:] += 60
    assert border_energy(jumping, [16, 32]) > 4 * border_energy(walk, [16, 32])
    assert np.isnan(border_energy(walk, []))
    changes = np.ones(48)
    assert border_ratio(changes, [16, 32]) == 1
    changes[[16, 32]] = 3
    assert border_ratio(changes, [16, 32]) == 3 and np.isnan(border_ratio(changes, []))
