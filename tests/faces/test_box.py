"""Boxes of whole pixels: what is cut out goes back bit for bit, beyond the frame, and only where it has a share."""

import numpy as np
import pytest
import torch

from latentsync_core.faces import box_region, crop_box, moved_box, paste_box
from latentsync_core.generators.face_latents import pixels_of

HEIGHT, WIDTH = 60, 80
BOXES = {
    "inside": (10, 12, 50, 47),
    "beyond the upper left corner": (-9, -5, 30, 41),
    "beyond the lower right corner": (61, 33, 95, 77),
    "larger than the frame": (-7, -3, 91, 70),
    "beside the frame": (90, 10, 120, 30),
}


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def pasted(image: np.ndarray, *args, **kwargs) -> np.ndarray:
    region = paste_box(image, *args, **kwargs)
    result = image.copy()
    result[region.slices] = region.pixels
    return result


def ones(box) -> torch.Tensor:
    return torch.ones(box[3] - box[1], box[2] - box[0])


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_crop_pasted_back_changes_nothing(image, box):
    crop = crop_box(image, box)
    assert crop.shape == (box[3] - box[1], box[2] - box[0], 3)
    assert np.array_equal(pasted(image, pixels_of([crop])[0], box, ones(box)), image)


def test_beyond_the_frame_its_border_repeats(image):
    crop = crop_box(image, (-4, -6, 5, 3))
    assert np.array_equal(crop[6:, 4:], image[:3, :5])
    assert (crop[:6] == crop[6]).all() and (crop[:, :4] == crop[:, 4:5]).all()


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_only_pixels_with_a_share_change_and_the_region_holds_no_others(image, box):
    share = torch.zeros_like(ones(box))
    share[5:12, 3:9] = 0.5
    face = torch.full((3, *share.shape), 1.0)
    region = paste_box(image, face, box, share)
    result = pasted(image, face, box, share)
    expected = image.copy()
    x0, y0, x1, y1 = box_region((box[0] + 3, box[1] + 5, box[0] + 9, box[1] + 12), HEIGHT, WIDTH)
    expected[y0:y1, x0:x1] = np.rint((image[y0:y1, x0:x1].astype(float) + 255) / 2)
    assert np.array_equal(result, expected)
    assert region.alpha.size == (y1 - y0) * (x1 - x0)


def test_a_users_limit_holds(image):
    box, limit = BOXES["beyond the upper left corner"], np.zeros((HEIGHT, WIDTH), np.float32)
    limit[20:30, 10:15] = 1
    changed = (pasted(image, torch.ones(3, 46, 39), box, ones(box), limit) != image).any(-1)
    assert changed.any() and not changed[limit == 0].any()


def test_a_face_of_another_size_is_stretched_to_its_box(image):
    box = BOXES["inside"]
    ramp = torch.linspace(-1, 1, 256)[None, :, None].expand(3, 256, 256)
    column = pasted(image, ramp, box, ones(box))[12:47, 30, 0].astype(int)
    assert column[0] < 6 and column[-1] > 249 and (np.diff(column) > 0).all()


def test_a_part_of_the_frame_gives_the_same(image):
    box = BOXES["beyond the upper left corner"]
    x0, y0, x1, y1 = box_region(box, HEIGHT, WIDTH)
    part = image[y0:y1, x0:x1]
    face, local = torch.zeros(3, 46, 39), moved_box(box, x0, y0)
    whole, alone = paste_box(image, face, box, ones(box)), paste_box(part, face, local, ones(box))
    assert np.array_equal(whole.pixels, alone.pixels) and (whole.left, whole.top) == (alone.left + x0, alone.top + y0)


def test_what_does_not_fit_is_refused(image):
    with pytest.raises(ValueError, match="left < right"):
        crop_box(image, (0, 0, 0, 0))
    with pytest.raises(ValueError, match="share"):
        paste_box(image, torch.zeros(3, 8, 8), (0, 0, 8, 8), torch.ones(8, 9))
    with pytest.raises(ValueError, match="uint8"):
        crop_box(image.astype(np.float32), (0, 0, 8, 8))
