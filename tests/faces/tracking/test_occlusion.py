"""What covers the mouth is noticed though eyes and brows stay in view, and its effect is gone when it is."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from latentsync_core.demo import CLIP
from latentsync_core.faces import FaceTrack, effect_strength, track_faces
from latentsync_core.faces.tracking.occlusion import REFIT_INTERVAL, lips_in_view
from latentsync_core.media import VideoReader

FRAMES = 48
COVERED = range(18, 33)
CLEAR, COVERS = 0.010, 0.050  # face widths, as measured on footage


def draw_microphone(picture: Image.Image, mouth: np.ndarray, width: float) -> None:
    """A black ball on a stick before the mouth; width: of the face in pixels."""
    draw, radius, (x, y) = ImageDraw.Draw(picture), width / 5, mouth
    draw.line([(x, y), (x + width / 4, y + 1.2 * width)], fill=(60, 60, 62), width=round(radius * 0.8))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(25, 25, 28))


def draw_hand(picture: Image.Image, mouth: np.ndarray, width: float) -> None:
    """Four fingers in the skin's own colour across the mouth."""
    draw, (x, y) = ImageDraw.Draw(picture), mouth
    skin = np.array(picture.getpixel((round(float(x)), round(float(y - width / 2)))))
    fill, edge = (tuple(int(level) for level in skin * shade) for shade in (0.92, 0.7))
    for finger in range(4):
        middle = y + (finger - 1.3) * 0.13 * width
        box = (x - 0.35 * width, middle - 0.07 * width, x + 0.7 * width, middle + 0.07 * width)
        draw.rounded_rectangle(box, radius=0.07 * width, fill=fill, outline=edge, width=2)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    with VideoReader(CLIP) as reader:
        return [frame.rgb() for frame in reader.frames(0, FRAMES)]


@pytest.fixture(scope="module")
def plain(pictures) -> FaceTrack:
    return track_faces(pictures)


def cover(pictures: list, track: FaceTrack, draw: Callable) -> list[np.ndarray]:
    """The clip with something drawn over the mouth in the frames COVERED."""
    changed = list(pictures)
    for index in COVERED:
        picture, mesh = Image.fromarray(pictures[index]), track.mesh[index]
        draw(picture, mesh[[13, 14], :2].mean(0), float(np.ptp(mesh[:, 0])))
        changed[index] = np.array(picture)
    return changed


def test_an_open_view_leaves_the_effect_whole(plain):
    assert effect_strength(plain).min() == 1.0
    assert np.isfinite(plain.lip_shifts).sum() == FRAMES // REFIT_INTERVAL


@pytest.mark.parametrize("draw", [draw_microphone, draw_hand])
def test_the_effect_fades_under_a_hand_or_a_microphone_and_comes_back(pictures, plain, draw):
    track = track_faces(cover(pictures, plain, draw))
    assert np.median(track.scores[COVERED]) > 0.9  # the mesh network alone would not have noticed
    strength = effect_strength(track)
    assert strength[COVERED].max() == 0
    fade = 2 * REFIT_INTERVAL
    assert strength[: COVERED.start - fade].min() == 1 and strength[COVERED.stop + fade :].min() == 1
    assert np.abs(np.diff(strength)).max() < 0.5  # it fades, it does not blink


def shifts_of(fits: list[float]) -> np.ndarray:
    """A second fit in every third frame."""
    shifts = np.full(3 * len(fits), np.nan)
    shifts[::3] = fits
    return shifts


def test_a_single_odd_look_does_not_count():
    shifts = shifts_of([CLEAR] * 4 + [COVERS] + [CLEAR] * 4)
    assert lips_in_view(shifts, [(0, len(shifts))]).min() == 1


def test_a_mouth_covered_throughout_is_hidden_throughout():
    shifts = shifts_of([COVERS] * 5)
    assert lips_in_view(shifts, [(0, 15)]).max() == 0


def test_lips_that_are_hard_to_see_throughout_are_not_taken_for_covered():
    small = shifts_of([0.018, 0.027, 0.022, 0.027, 0.017, 0.026, 0.027])  # as on a face 20 pixels wide
    assert lips_in_view(small, [(0, len(small))]).min() == 1


def test_stretches_are_judged_apart_and_those_without_a_look_are_trusted():
    shifts = np.concatenate([shifts_of([COVERS] * 3), shifts_of([CLEAR] * 3), [np.nan] * 2])
    view = lips_in_view(shifts, [(0, 9), (9, 18), (18, 20)])
    assert view[:9].max() == 0 and view[9:].min() == 1


def test_the_second_looks_travel_with_the_track(plain, tmp_path):
    np.savez_compressed(tmp_path / "track.npz", **plain.to_arrays())
    again = FaceTrack.from_arrays(np.load(tmp_path / "track.npz"))
    np.testing.assert_array_equal(again.lip_shifts, plain.lip_shifts)
