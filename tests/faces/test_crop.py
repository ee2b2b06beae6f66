"""Crops: equal to the reference, grey beyond the frame, and without moire on faces too large for the crop."""

import numpy as np
import pytest

from latentsync_core.faces.align import crop_size
from latentsync_core.faces.crop import crop_face, warp_crop
from latentsync_core.faces.resample import lanczos4_resize, prefilter_scale

RNG_SEED = 11


def similarity(scale, angle=0.0, shift=(0.0, 0.0)):
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]], np.float32)


def centred(scale, angle, image, resolution):
    matrix = similarity(scale, angle)
    height, width = image.shape[:2]
    matrix[:, 2] = np.array(crop_size(resolution)) / 2 - matrix[:, :2] @ [width / 2, height / 2]
    return matrix


def noise_image(height, width):
    return np.random.default_rng(RNG_SEED).integers(0, 256, (height, width, 3), dtype=np.uint8)


def difference(first, second):
    return np.abs(first.astype(int) - second.astype(int)).max()


@pytest.mark.parametrize("resolution", [256, 512])
@pytest.mark.parametrize(("index", "frame"), [(0, 0), (1, 11)])
def test_crops_equal_the_reference(golden, resolution, index, frame):
    face = golden("face.npz")
    matrix = face[f"matrices_{resolution}"][frame]
    crop = warp_crop(face["image"], matrix, resolution)
    assert crop.shape[:2] == crop_size(resolution)[::-1]
    assert difference(crop[::8, ::8], face[f"crops_{resolution}"][index]) <= 1
    resized = crop_face(face["image"], matrix, resolution)
    assert resized.shape == (resolution, resolution, 3) and resized.dtype == np.uint8
    assert difference(resized[::8, ::8], face[f"crop_resized_{resolution}_{frame}"]) <= 1


def test_a_shift_by_whole_pixels_copies_the_pixels():
    image = noise_image(400, 300)
    crop = warp_crop(image, similarity(1.0, shift=(-20, -30)), 256)
    assert difference(crop, image[30:310, 20:230]) <= 1


def test_a_flat_frame_gives_a_flat_crop():
    for level in range(0, 256, 15):
        image = np.full((300, 400, 3), level, np.uint8)
        crop = crop_face(image, centred(1.7, 0.3, image, 256), 256)
        np.testing.assert_array_equal(crop, level)


def test_beyond_the_frame_the_crop_is_grey():
    image = noise_image(300, 300)
    crop = warp_crop(image, similarity(1.0, shift=(100, 40)), 256)
    np.testing.assert_array_equal(crop[:40], 127)
    np.testing.assert_array_equal(crop[:, :100], 127)
    assert difference(crop[40:, 100:], image[:240, :110]) <= 1
    np.testing.assert_array_equal(crop_face(image, similarity(1.0, shift=(5000, 0)), 256), 127)


@pytest.mark.parametrize("antialias", [False, True])
def test_the_crop_reads_only_its_own_part_of_the_frame(antialias):
    """A crop is the same whether its surroundings are there or far away."""
    image = noise_image(700, 900)
    matrix = centred(0.7, 0.2, image, 256)
    surrounded = np.pad(image, ((300, 300), (500, 500), (0, 0)), mode="symmetric")
    moved = matrix.copy()
    moved[:, 2] -= matrix[:, :2] @ [500, 300]
    assert difference(warp_crop(image, matrix, 256, antialias), warp_crop(surrounded, moved, 256, antialias)) <= 1


def test_antialias_leaves_ordinary_faces_alone():
    image = noise_image(500, 400)
    for scale in (0.5, 0.8, 2.0):
        matrix = centred(scale, 0.1, image, 256)
        np.testing.assert_array_equal(crop_face(image, matrix, 256, antialias=True), crop_face(image, matrix, 256))


def test_antialias_removes_moire_from_a_close_up():
    lines = np.where(np.arange(2200) % 3 == 0, 240, 15).astype(np.uint8)  # too fine for the crop to show
    image = np.broadcast_to(lines[:, None, None], (2200, 1800, 3)).copy()
    matrix = centred(0.18, 0.05, image, 256)
    inner = slice(20, -20)
    plain = crop_face(image, matrix, 256)[inner, inner]
    filtered = crop_face(image, matrix, 256, antialias=True)[inner, inner]
    assert plain.std() > 40
    assert filtered.std() < 8
    assert abs(filtered.mean() - image.mean()) < 2


def test_antialias_keeps_the_face_in_its_place():
    y, x = np.mgrid[:2000, :1700]
    ramp = np.stack([x / 8, y / 8, (x + y) / 16], axis=-1).astype(np.uint8)
    matrix = centred(0.2, 0.3, ramp, 256)
    inner = slice(30, -30)
    plain, filtered = (warp_crop(ramp, matrix, 256, flag)[inner, inner].astype(int) for flag in (False, True))
    assert np.abs(plain - filtered).max() <= 2


def test_the_prefilter_sets_in_without_a_step():
    scales = np.linspace(0.05, 2, 2000)
    factor = np.array([prefilter_scale(scale) for scale in scales])
    assert (factor[scales >= 0.5] == 1).all()
    np.testing.assert_allclose(factor[scales <= 0.25], scales[scales <= 0.25])
    assert np.abs(np.diff(factor)).max() < 0.005


@pytest.mark.parametrize(("source", "target"), [((280, 210), (256, 256)), ((560, 420), (512, 512)), ((9, 7), (31, 5))])
def test_lanczos_is_opencvs(source, target):
    """OpenCV's 8-bit path: taps as integers of 2048ths, border pixels repeated, one rounding at the end."""
    image = noise_image(*source)

    def taps(size, new_size):
        matrix = np.zeros((new_size, size), np.int64)
        for out in range(new_size):
            position = (out + 0.5) * size / new_size - 0.5
            left = int(np.floor(position))
            t = position - left
            weights = np.array([np.sinc(t + 3 - k) * np.sinc((t + 3 - k) / 4) for k in range(8)])
            for k, weight in enumerate(np.round(weights / weights.sum() * 2048).astype(np.int64)):
                matrix[out, np.clip(left - 3 + k, 0, size - 1)] += weight
        return matrix

    rows, columns = taps(source[0], target[0]), taps(source[1], target[1])
    exact = np.einsum("yh,hwc,xw->yxc", rows, image.astype(np.int64), columns, optimize=True)
    expected = ((exact + (1 << 21)) >> 22).clip(0, 255)
    assert difference(lanczos4_resize(image, *target), expected) <= 1


def test_lanczos_to_the_same_size_changes_nothing():
    image = noise_image(64, 48)
    np.testing.assert_array_equal(lanczos4_resize(image, 64, 48), image)


def test_frames_without_a_face_and_wrong_pictures_are_refused():
    image = noise_image(64, 64)
    with pytest.raises(ValueError, match="skip frames without a face"):
        crop_face(image, np.full((2, 3), np.nan, np.float32), 256)
    with pytest.raises(ValueError, match="uint8"):
        crop_face(image.astype(np.float32), similarity(1.0), 256)
