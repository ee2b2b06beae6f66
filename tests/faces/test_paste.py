"""Paste: equal to the reference on every pixel, not one bit outside the soft mask, the same for the region alone."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, minimum_filter

from latentsync_core.faces import mouth_share, paste
from latentsync_core.faces.align import crop_size
from latentsync_core.faces.crop import crop_face
from latentsync_core.faces.mask import fixed_mask
from latentsync_core.faces.paste import (
    face_region,
    paste_face,
    paste_region,
    shifted_matrix,
    soft_mask,
)

HEIGHT, WIDTH = 360, 480


def matrix_at(centre, face_width, angle=0.0, resolution=256):
    """A similarity that puts a face of that width and centre, in frame pixels, into the crop."""
    width, height = crop_size(resolution)
    scale = width / face_width
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([width / 2, height / 2]) - linear @ centre
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)


CASES = {
    "middle": matrix_at((240, 180), 130, 0.2),
    "upright": matrix_at((240, 180), 130),
    "top left corner": matrix_at((20, 30), 150, -0.3),
    "right edge": matrix_at((460, 200), 180, 0.6),
    "larger than the frame": matrix_at((240, 180), 700, 0.1),
    "close-up": matrix_at((240, 400), 900, 0.1),
    "upside down": matrix_at((200, 200), 100, 3.0),
    "barely inside": matrix_at((-48, 150), 100, 0.0),
    "tiny": matrix_at((240, 180), 12, 0.4),
}


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def face():
    return torch.from_numpy(np.random.default_rng(6).uniform(-1.1, 1.1, (3, 256, 256)).astype(np.float32))


def waves(height, width):
    rows = torch.sin(torch.arange(height) / 9 + torch.arange(3)[:, None]) * 0.9  # (3, height)
    return rows[:, :, None].expand(3, height, width)


@pytest.mark.parametrize("resolution", [256, 512])
@pytest.mark.parametrize(("index", "frame"), [(0, 0), (1, 11)])
def test_pasted_frames_equal_the_reference(golden, resolution, index, frame):
    reference = golden("face.npz")
    width, height = crop_size(resolution)
    pasted = paste_face(
        reference["image"], waves(height, width), reference[f"matrices_{resolution}"][frame], resolution
    )
    expected = reference[f"restored_{resolution}"][index].astype(int)
    assert pasted.dtype == np.uint8
    assert np.abs(pasted - expected).max() <= 1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("antialias", [False, True])
def test_the_region_alone_is_the_whole_frame_bit_for_bit(image, face, case, antialias, monkeypatch):
    matrix = CASES[case]
    pasted, mask = paste_face(image, face, matrix, 256, antialias), soft_mask(matrix, HEIGHT, WIDTH, 256)
    monkeypatch.setattr(paste, "REGION_MARGIN", HEIGHT + WIDTH)  # the region is then the whole frame
    everywhere = paste_region(image, face, matrix, 256, antialias)
    assert everywhere.alpha.shape == (HEIGHT, WIDTH)
    assert everywhere.alpha.any()
    np.testing.assert_array_equal(pasted, everywhere.pixels)
    np.testing.assert_array_equal(mask, everywhere.alpha)


@pytest.mark.parametrize("case", CASES)
def test_a_share_is_pasted_as_if_all_of_the_frame_were_computed(image, face, case, monkeypatch):
    share = mouth_share(256)
    region = paste_region(image, face, CASES[case], 256, share=share)
    monkeypatch.setattr(paste, "REGION_MARGIN", HEIGHT + WIDTH)  # the part that is computed is then the whole frame
    everywhere = paste_region(image, face, CASES[case], 256, share=share)
    np.testing.assert_array_equal(region.pixels, everywhere.pixels)
    np.testing.assert_array_equal(region.alpha, everywhere.alpha)


@pytest.mark.parametrize("case", CASES)
def test_the_soft_mask_is_the_references(case):
    """The reference's steps one by one on the full frame: warp ones, erode 2x2, erode 2w x 2w, blur."""
    matrix = CASES[case].astype(np.float64)
    width, height = crop_size(256)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    u, v = (matrix[axis, 0] * x + matrix[axis, 1] * y + matrix[axis, 2] for axis in range(2))
    mask = np.minimum(u + 1, width - u).clip(0, 1) * np.minimum(v + 1, height - v).clip(0, 1)
    mask = minimum_filter(mask, size=2, mode="nearest")
    edge = max(int(np.sqrt(mask.sum())) // 20, 1)
    mask = minimum_filter(mask, size=2 * edge, mode="nearest")
    sigma = 0.3 * ((2 * edge + 1 - 1) * 0.5 - 1) + 0.8
    kernel = np.exp(-(np.arange(-edge, edge + 1) ** 2) / (2 * sigma**2))
    for axis in range(2):
        mask = correlate1d(mask, kernel / kernel.sum(), axis=axis, mode="mirror")
    np.testing.assert_allclose(soft_mask(CASES[case], HEIGHT, WIDTH, 256), mask, atol=2e-4)


@pytest.mark.parametrize("case", CASES)
def test_nothing_outside_the_soft_mask_changes_and_the_input_stays(image, face, case):
    before = image.copy()
    pasted = paste_face(image, face, CASES[case], 256)
    untouched = soft_mask(CASES[case], HEIGHT, WIDTH, 256) == 0
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(pasted[untouched], image[untouched])
    assert (pasted[~untouched] != image[~untouched]).any()


def test_a_face_wholly_outside_the_frame_changes_nothing(image, face):
    region = paste_region(image, face, matrix_at((-900, 100), 100), 256)
    assert region.pixels.size == 0 and region.alpha.size == 0
    np.testing.assert_array_equal(paste_face(image, face, matrix_at((-900, 100), 100), 256), image)
    assert not soft_mask(matrix_at((-900, 100), 100), HEIGHT, WIDTH, 256).any()


def test_values_beyond_the_range_are_clamped_not_wrapped():
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    matrix = CASES["upright"]
    centre = (180, 240)
    assert (paste_face(image, torch.full((3, 256, 256), 1.4), matrix, 256)[centre] == 255).all()
    assert (paste_face(image, torch.full((3, 256, 256), -1.4), matrix, 256)[centre] == 0).all()
    assert (paste_face(image, torch.full((3, 256, 256), 0.5), matrix, 256)[centre] == 191).all()


def test_cutting_and_pasting_a_face_returns_the_picture():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([128 + 90 * np.sin(x / 25), 128 + 90 * np.cos(y / 31), (x + y) / 4], axis=-1).astype(np.uint8)
    for case in ("middle", "upright", "right edge", "top left corner"):
        crop = torch.from_numpy(crop_face(image, CASES[case], 256)).permute(2, 0, 1) / 127.5 - 1
        for antialias in (False, True):
            pasted = paste_face(image, crop, CASES[case], 256, antialias).astype(int)
            # The grey beyond the frame seeps into the frame's outermost pixels, as in the reference.
            assert np.abs(pasted - image)[8:-8, 8:-8].max() <= 2


def test_antialias_leaves_no_dark_line_at_the_rim():
    image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    face = torch.full((3, 256, 256), 200 / 127.5 - 1)
    matrix = CASES["top left corner"]
    assert paste_face(image, face, matrix, 256).min() < 200  # the reference's fault, kept for parity
    np.testing.assert_array_equal(paste_face(image, face, matrix, 256, antialias=True), image)


def test_antialias_removes_moire_from_a_small_face():
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    lines = (torch.arange(512) % 2 * 2 - 1).float()
    face = lines[None, :, None].expand(3, 512, 512)
    matrix = matrix_at((240, 180), 60, 0.1, resolution=512)
    plain, filtered = (paste_face(image, face, matrix, 512, flag)[150:210, 220:260] for flag in (False, True))
    assert plain.std() > 3 * filtered.std()
    assert filtered.std() < 4


def test_antialias_keeps_the_face_in_its_place():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ramp = torch.linspace(-1, 1, 512)
    face = torch.stack([ramp[:, None].expand(512, 512), ramp[None].expand(512, 512), ramp[:, None] * ramp[None]])
    matrix = matrix_at((240.3, 180.6), 50, 0.3, resolution=512)
    plain, filtered = (paste_face(image, face, matrix, 512, flag).astype(int)[165:195, 230:250] for flag in (0, 1))
    assert np.abs(plain - filtered).max() <= 3


def test_wrong_inputs_are_refused(image, face):
    with pytest.raises(ValueError, match="skip frames without a face"):
        paste_face(image, face, np.full((2, 3), np.nan), 256)
    with pytest.raises(ValueError, match="uint8"):
        paste_face(image / 255, face, CASES["middle"], 256)
    with pytest.raises(ValueError, match=r"\(3, height, width\)"):
        paste_face(image, face[None], CASES["middle"], 256)


def test_mouth_share_is_the_redrawn_part_with_a_soft_edge():
    share = mouth_share(256)
    redrawn = 1 - fixed_mask(256)
    assert ((share > 0.5) == (redrawn > 0.5)).float().mean() > 0.99
    assert (share[:80] == 0).all() and share[:, 128].max() > 0.999
    assert (share[1:] - share[:-1]).abs().max() < 0.15  # the mask itself steps by 1


@pytest.mark.parametrize("case", CASES)
def test_with_the_mouth_share_eyes_and_nose_stay_the_frames_own(image, face, case):
    matrix, share = CASES[case], mouth_share(256)
    whole, mouth = (paste_region(image, face, matrix, 256, share=s) for s in (None, share))
    rows = slice(mouth.top - whole.top, mouth.top - whole.top + mouth.alpha.shape[0])
    columns = slice(mouth.left - whole.left, mouth.left - whole.left + mouth.alpha.shape[1])
    assert (mouth.alpha <= whole.alpha[rows, columns] + 1e-6).all()
    assert mouth.alpha.size <= whole.alpha.size
    under = image[mouth.top : mouth.top + len(mouth.alpha), mouth.left : mouth.left + mouth.alpha.shape[1]]
    untouched = mouth.alpha == 0
    assert np.array_equal(mouth.pixels[untouched], under[untouched])
    reached = soft_mask(matrix, *image.shape[:2], 256, share)
    assert np.array_equal(reached[mouth.top :, mouth.left :][: len(under), : under.shape[1]], mouth.alpha)
    assert np.count_nonzero(reached) == np.count_nonzero(mouth.alpha)


@pytest.mark.parametrize("case", CASES)
def test_a_faces_own_part_of_the_frame_is_enough(image, face, case):
    matrix = CASES[case]
    left, top, right, bottom = face_region(matrix, *image.shape[:2], 256)
    part, local = image[top:bottom, left:right], shifted_matrix(matrix, left, top)
    for antialias in (False, True):
        if part.size:
            whole, alone = crop_face(image, matrix, 256, antialias), crop_face(part, local, 256, antialias)
            assert np.abs(whole.astype(int) - alone).max() <= 1  # a pixel's coordinates differ in their last bit
        expected = paste_region(image, face, matrix, 256, antialias)
        found = paste_region(part, face, local, 256, antialias)
        assert (found.left + left, found.top + top) == (expected.left, expected.top)
        assert np.abs(found.pixels.astype(int) - expected.pixels).max(initial=0) <= 1
        assert np.abs(found.alpha - expected.alpha).max(initial=0) < 1e-4
