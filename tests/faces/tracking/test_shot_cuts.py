"""Where shots begin: cuts are told from noise, fades and camera movement."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded import draw

from latentsync_core.faces.tracking.shot_cuts import ShotChanges


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.array(Image.open(Path(__file__).parents[1] / "astronaut.jpg"))


def cuts(frames: list[np.ndarray]) -> list[int]:
    changes = ShotChanges()
    return [i for i, frame in enumerate(frames) if changes.compare(frame).is_cut]


def test_another_picture_is_a_cut_on_its_first_frame(portrait):
    other = (60 * draw("shots.other", 352, 352, 1) + 90).clip(0, 255).astype(np.uint8).repeat(3, -1)
    assert cuts([portrait] * 4 + [other] * 3 + [portrait] * 4) == [4, 7]


def test_the_same_colours_in_another_place_are_a_cut(portrait):
    assert cuts([portrait] * 4 + [np.ascontiguousarray(portrait[::-1, ::-1])] * 4) == [4]


def test_a_fade_to_black_is_no_cut(portrait):
    levels = [1 - i / 15 for i in range(16)]
    assert cuts([(portrait * level).astype(np.uint8) for level in levels]) == []


@pytest.mark.parametrize("step", [2, 8, 20])
def test_a_pan_is_no_cut(portrait, step):
    wide = np.concatenate([portrait, portrait[:, ::-1]], 1)
    assert cuts([wide[:, i * step : i * step + 300] for i in range(16)]) == []


def test_noise_and_repeated_frames_are_no_cuts(portrait):
    frames = [(portrait + 6 * draw(f"shots.{i // 2}", 352, 352, 3)).clip(0, 255).astype(np.uint8) for i in range(10)]
    assert cuts(frames) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 500, 3), (500, 3, 3)])
def test_tiny_frames_are_compared(shape):
    assert cuts([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)]) == [1]


# Light


def lit(picture: np.ndarray, gain: float, lift: float = 0.0) -> np.ndarray:
    return (picture.astype(np.float32) * gain + lift).clip(0, 255).astype(np.uint8)


def test_a_light_that_is_switched_on_is_no_cut(portrait):
    assert cuts([lit(portrait, 0.6)] * 5 + [portrait] * 5) == []
    assert cuts([portrait] * 5 + [lit(portrait, 0.55)] * 5) == []


def test_a_flash_looks_like_a_cut_until_the_picture_is_back(portrait):
    changes = ShotChanges()
    frames = [portrait] * 4 + [lit(portrait, 1, 255), lit(portrait, 1, 230)] + [portrait] * 4
    seen = [changes.compare(frame) for frame in frames]
    assert [i for i, change in enumerate(seen) if change.may_be_flash] == [4]
    assert [(i, change.returned) for i, change in enumerate(seen) if change.returned] == [(6, 2)]


def test_another_picture_after_a_white_frame_stays_a_cut(portrait):
    changes = ShotChanges()
    frames = [portrait] * 4 + [np.full_like(portrait, 255)] + [portrait[::-1]] * 6
    seen = [changes.compare(frame) for frame in frames]
    assert seen[4].is_cut and seen[5].is_cut and not any(change.returned for change in seen)


def test_a_small_change_is_a_cut_where_nothing_moved_before(portrait):
    closer = np.array(Image.fromarray(portrait).crop((30, 30, 322, 322)).resize((352, 352)))
    assert cuts([portrait] * 6 + [closer] * 4) == [6]
    views = [(3 * i, 3 * i, 352 - 3 * i, 352 - 3 * i) for i in range(12)]
    slowly = [np.array(Image.fromarray(portrait).crop(view).resize((352, 352))) for view in views]
    assert cuts(slowly) == []
