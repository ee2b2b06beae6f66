"""The evaluation's faces lie where its rule says, at 25 per second whatever the clip's rate, and never across a cut."""

from fractions import Fraction

import numpy as np
import pytest
from seeded import draw

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import FaceTrack
from latentsync_core.faces.face_track import GapFilling
from latentsync_core.scoring.syncnet_crops import (
    EVALUATION_CROPS,
    FEWEST_FRAMES,
    evaluation_crop,
    plan_evaluation,
    smoothed_boxes,
)

BOX = np.array([120.0, 100.0, 40.0])  # centre x, y and half of the longer side, pixels


def face(frames: int, cuts: tuple[int, ...] = (), absent: slice = slice(0, 0)) -> FaceTrack:
    """A face that moves right by a pixel a frame, 60 x 80 pixels."""
    shape = np.pad(draw("a face", 468, 2).clip(-2, 2) * (15, 20), ((0, 0), (0, 1)))
    mesh = (shape + [100, 120, 0]).astype(np.float32) + np.arange(frames)[:, None, None] * [1, 0, 0]
    mesh[absent] = np.nan
    filling = GapFilling(max_gap=0)
    return FaceTrack.from_meshes(mesh, np.ones(frames), cuts=list(cuts), size=(240, 1000), filling=filling)


def times(frames: int, fps) -> list[Fraction]:
    return [index / Fraction(fps) for index in range(frames)]


@pytest.mark.parametrize("crop", EVALUATION_CROPS)
def test_the_square_reaches_as_far_as_the_published_rule(crop):
    """In a picture whose red is x and whose green is y, a crop tells where its pixels come from."""
    x, y = np.meshgrid(np.arange(240), np.arange(220))
    image = np.stack([x, y, np.full_like(x, 7)], -1).astype(np.uint8)
    found = evaluation_crop(image, BOX, crop).astype(int)
    assert found.shape == (224, 224, 3) and np.all(found[..., 0] == 7)  # blue comes first
    half = BOX[2]
    left, right, top, bottom = 120 - 1.4 * half, 120 + 1.4 * half, 100 - half, 100 + 1.8 * half
    assert np.abs(found[:, 0, 2] - left).max() <= 1 and np.abs(found[:, -1, 2] - right).max() <= 1
    assert np.abs(found[0, :, 1] - top).max() <= 1 and np.abs(found[-1, :, 1] - bottom).max() <= 1


@pytest.mark.parametrize("crop", EVALUATION_CROPS)
def test_beyond_the_frame_a_crop_is_grey(crop):
    white = np.full((150, 130, 3), 255, np.uint8)
    found = evaluation_crop(white, BOX, crop)
    assert np.all(found[:, -60:] == 110) and np.all(found[-20:] == 110) and np.all(found[:150, :120] == 255)
    assert np.all(evaluation_crop(white, np.array([900.0, 900.0, 40.0]), crop) == 110)


def test_a_large_face_is_filtered_before_it_shrinks():
    """Stripes finer than the crop's pixels become grey by our rule; the published one lets them alias."""
    stripes = np.zeros((2400, 2400, 3), np.uint8)
    stripes[:, ::2] = 255
    box = np.array([1200.0, 1000.0, 730.0])
    ours, published = (evaluation_crop(stripes, box, crop)[100, 20:-20, 0].astype(float) for crop in ("mesh", "s3fd"))
    assert ours.std() < 4 and published.std() > 40


def test_one_wrong_box_does_not_move_the_crop():
    boxes = np.tile([80.0, 60.0, 160.0, 140.0], (60, 1))
    boxes[30] += 500
    assert np.all(smoothed_boxes(boxes, "mesh") == [120, 100, 40])
    published = smoothed_boxes(boxes, "s3fd")
    assert np.all(published[7:-7] == [120, 100, 40])


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 50, Fraction(24000, 1001), 10])
def test_a_clip_of_any_rate_is_seen_at_25(fps):
    frames = int(4 * Fraction(fps))
    plan = plan_evaluation([face(frames)], times(frames, fps), Fraction(fps))
    assert len(plan.sources) == len(plan.frames) == round(frames / Fraction(fps) * 25)
    for frame, source in zip(plan.frames, plan.sources, strict=True):
        instant = Fraction(frame, 25)
        assert source / Fraction(fps) <= instant < (source + 1) / Fraction(fps)
    steps = np.diff(plan.tracks[0].boxes[10:-10, 0])  # the face goes on at its own speed
    assert steps.mean() == pytest.approx(float(Fraction(fps) / 25), rel=0.1)


def test_stamps_that_are_rounded_show_every_frame_of_a_clip_at_25():
    shaken = [time + Fraction(index % 2, 1000) for index, time in enumerate(times(60, 25))]
    assert plan_evaluation([face(60)], shaken, Fraction(25)).sources == tuple(range(60))


def test_tracks_end_at_cuts_and_gaps_and_short_ones_are_left_out():
    long, gone = face(300, cuts=(120,)), face(300, cuts=(120,), absent=slice(40, 245))
    plan = plan_evaluation([gone, long], times(300, 25), Fraction(25))
    assert [(t.person, t.first, len(t)) for t in plan.tracks] == [(0, 245, 55), (1, 0, 120), (1, 120, 180)]
    assert plan.frames == tuple(range(300))
    with pytest.raises(LatentSyncError, match=r"No face is in sight for 2 s .* longest time is 1.96 s"):
        plan_evaluation([face(FEWEST_FRAMES - 1)], times(FEWEST_FRAMES - 1, 25), Fraction(25))


def test_an_unknown_rule_is_refused():
    with pytest.raises(LatentSyncError, match="'dlib' is unknown; choose one of mesh, s3fd"):
        plan_evaluation([face(60)], times(60, 25), Fraction(25), "dlib")
