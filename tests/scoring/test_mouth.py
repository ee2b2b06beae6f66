"""The mouth in the head's own frame: what turns and moves with the head counts for nothing."""

from pathlib import Path

import numpy as np
import pytest
from seeded import draw

from latentsync_core.scoring.mouth import MEASURED_POINTS, identity_distance, in_head_frame, mouth_jitter, mouth_shape

MESH = np.load(Path(__file__).parents[1] / "golden" / "astronaut_mesh.npz")["mesh"].astype(float).reshape(468, 3)
EYES = np.linalg.norm(MESH[263, :2] - MESH[33, :2])


def nodding(frames: int) -> np.ndarray:
    """The head growing, turning in the plane and wandering; its mouth does not move."""
    meshes = []
    for index in range(frames):
        angle, scale = 0.2 * np.sin(index / 3), 1 + 0.3 * index / frames
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        meshes.append(scale * (MESH - MESH.mean(0)) @ turn.T + [300 + 5 * index, 200 + 9 * np.sin(index), 0])
    return np.stack(meshes)


def test_a_moving_head_with_a_still_mouth_has_no_jitter():
    assert mouth_jitter(nodding(30)) < 1e-6
    placed = in_head_frame(nodding(30))
    assert np.abs(placed - placed[0]).max() < 1e-9


def test_a_trembling_mouth_has():
    meshes = nodding(30)
    lips = [61, 291, 0, 37, 267, 164, 2]
    meshes[::2, lips, 1] += 0.02 * EYES
    assert mouth_jitter(meshes) > 2


def test_opening_width_and_rounding_are_read_off_the_lips():
    open_mouth = MESH.copy()
    open_mouth[[14, 17], 1] += 0.2 * EYES
    narrow = MESH.copy()
    middle = MESH[[61, 291], 0].mean()
    narrow[[61, 291], 0] = middle + 0.5 * (MESH[[61, 291], 0] - middle)
    rest, opened, rounded = (mouth_shape(mesh[None]) for mesh in (MESH, open_mouth, narrow))
    assert opened.opening[0] == pytest.approx(rest.opening[0] + 0.2, abs=0.02)
    assert rounded.width[0] < 0.6 * rest.width[0] and rounded.rounding[0] > 1.5 * rest.rounding[0]


def test_one_face_is_near_itself_and_far_from_another_shape():
    other = MESH.copy()
    other[:, 0] = (other[:, 0] - other[:, 0].mean()) * 1.15 + other[:, 0].mean()
    noisy = nodding(10) + 0.2 * draw("noise", 10, 468, 3)
    assert identity_distance(nodding(10), noisy) < 1 < 3 < identity_distance(nodding(10), np.stack([other] * 10))
    assert np.isnan(identity_distance(nodding(3), np.full((3, 468, 3), np.nan)))


def test_the_points_kept_are_all_that_is_measured():
    kept = np.full((8, 468, 3), np.nan)
    kept[:, list(MEASURED_POINTS)] = nodding(8)[:, list(MEASURED_POINTS)]
    assert mouth_jitter(kept) == mouth_jitter(nodding(8))
    assert np.array_equal(mouth_shape(kept).opening, mouth_shape(nodding(8)).opening)
    assert identity_distance(kept, nodding(8)) < 1e-9
