"""MuseTalk's crop on our mesh: where its box lies, what is black, and which part of the face comes back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from latentsync_core.demo import CLIP
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import (
    FaceTrack,
    crop_box,
    jaw_contours,
    jaw_share,
    mask_lower_half,
    musetalk_boxes,
    paste_box,
    square_crop,
    track_boxes,
    track_faces,
)
from latentsync_core.faces.align import smooth_points
from latentsync_core.media import VideoReader

CHIN, BRIDGE, LEFT_EAR, RIGHT_EAR, UPPER_LIP = 152, 195, 234, 454, 0  # points of the mesh


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    with VideoReader(CLIP) as reader:
        return [frame.rgb() for frame in reader.frames(0, 8)]


@pytest.fixture(scope="module")
def track(pictures) -> FaceTrack:
    return track_faces(pictures)


@pytest.fixture(scope="module")
def box(track) -> tuple[int, int, int, int]:
    return tuple(track_boxes(track)[0].tolist())


def test_the_box_reaches_from_ear_to_ear_and_its_middle_is_the_bridge_of_the_nose(golden):
    mesh = golden("astronaut_mesh.npz")["mesh"]
    left, top, right, bottom = musetalk_boxes(mesh[None], height=400, release="1.0")[0]
    assert abs(left - mesh[LEFT_EAR, 0]) < 2 and abs(right - mesh[RIGHT_EAR, 0]) < 2
    assert bottom == round(mesh[CHIN, 1].item())
    assert abs((top + bottom) / 2 - mesh[BRIDGE, 1]) <= 1


def test_the_releases_differ_by_ten_pixels_below_the_chin(golden):
    mesh = golden("astronaut_mesh.npz")["mesh"][None]
    older, newer = (musetalk_boxes(mesh, 400, release)[0] for release in ("1.0", "1.5"))
    assert (newer - older).tolist() == [0, 0, 0, 10]
    assert musetalk_boxes(mesh, height=180)[0, 3] == 180
    assert musetalk_boxes(mesh - (0, 60, 0), height=400)[0, 1] == 0


def test_a_shift_moves_the_middle_row_and_not_the_chin(golden):
    mesh = golden("astronaut_mesh.npz")["mesh"][None]
    plain, shifted = (musetalk_boxes(mesh, 400, "1.0", shift)[0] for shift in (0, 7))
    assert (shifted - plain).tolist() == [0, 14, 0, 0]
    with pytest.raises(LatentSyncError, match="bbox_shift 60 puts the middle of the crop below the chin"):
        musetalk_boxes(mesh, 400, "1.0", 60)


def test_smooth_boxes_shake_less_and_do_not_lag(track):
    frames, generator = 60, np.random.default_rng(1)
    still = np.repeat(track.mesh[:1], frames, 0)
    still[:, :, 0] += 3 * np.arange(frames)[:, None]  # in uniform motion to the right
    shaky = still + generator.normal(0, 0.7, (frames, 1, 3)).astype(np.float32)
    clip = replace(track, mesh=shaky, states=np.ones(frames, np.uint8), cuts=())
    truth = musetalk_boxes(still, track.height)
    off = {mode: np.abs(track_boxes(clip, mode=mode) - truth)[8:-8].mean() for mode in ("smooth", "reference")}
    assert off["smooth"] < 0.6 * off["reference"]
    lag = (track_boxes(clip) - truth)[8:-8, 0].mean()
    assert abs(lag) < 0.5  # pixels, at 3 pixels per frame


def test_a_frame_without_a_face_has_no_box_and_joins_nothing(track):
    mesh = track.mesh.copy()
    mesh[3] = np.nan
    states = track.states.copy()
    states[3] = 0
    boxes = track_boxes(replace(track, mesh=mesh, states=states))
    assert boxes[3].tolist() == [0, 0, 0, 0]
    alone = smooth_points(track.mesh[4:, :, :2].astype(np.float64), np.ones(len(track) - 4, bool))
    assert np.array_equal(boxes[4:], musetalk_boxes(alone, track.height))


def test_large_faces_are_prefiltered_before_they_shrink():
    stripes = np.zeros((1100, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    assert square_crop(stripes).std() < 10 < square_crop(stripes[:, 1:], antialias=False).std()


def test_black_is_the_least_value_not_the_middle_one():
    masked = mask_lower_half(torch.full((2, 3, 256, 256), 0.5))
    assert (masked[:, :, :128] == 0.5).all() and (masked[:, :, 128:] == -1).all()


def test_the_mouth_and_the_jaw_come_back_and_eyes_and_nose_stay(track, box):
    share = jaw_share(jaw_contours(track)[0], box).numpy()
    left, top, right, bottom = box

    def at(point):
        x, y = track.mesh[0, point, :2]
        return share[round(float(y)) - top, round(float(x)) - left]

    assert min(at(point) for point in (13, 14, 61, 291, 17)) == 1  # lips and their corners
    assert max(at(point) for point in (33, 263, 4, 168)) == 0  # eyes and nose
    chin = round(float(track.mesh[0, CHIN, 1])) - top
    assert share[chin + 2, (right - left) // 2] > 0.7  # the face may grow below the filmed chin
    assert max(share[0].max(), share[-1].max(), share[:, 0].max(), share[:, -1].max()) == 0


def test_what_is_pasted_ends_within_the_box(pictures, track, box):
    crop = square_crop(crop_box(pictures[0], box))
    face = torch.from_numpy(255 - crop).permute(2, 0, 1) / 127.5 - 1
    region = paste_box(pictures[0], face, box, jaw_share(jaw_contours(track)[0], box))
    rows, columns = region.slices
    assert box[1] + 128 * (box[3] - box[1]) // 256 - 12 < rows.start and rows.stop <= box[3]
    assert box[0] < columns.start and columns.stop < box[2]
    changed = np.abs(pictures[0][region.slices].astype(int) - region.pixels).max(-1)
    assert changed.max() > 50 and not changed[region.alpha == 0].any()
