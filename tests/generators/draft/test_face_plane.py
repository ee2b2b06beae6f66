"""Coordinates in the head: the same point of a face has the same ones, however the head is held."""

import numpy as np
import pytest

from latentsync_core.generators.draft.face_plane import face_planes, on_plane

CORNERS, LIPS = (61, 291), (61, 291, 13, 14, 0, 17)


@pytest.fixture(scope="module")
def mesh(golden) -> np.ndarray:
    return golden("astronaut_mesh.npz")["mesh"].astype(np.float64)


def turned(mesh: np.ndarray, yaw: float = 0.0, roll: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """A mesh turned by angles in degrees about its middle."""
    yaw, roll = np.radians([yaw, roll])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    middle = mesh.mean(0)
    return scale * (mesh - middle) @ (about_z @ about_y).T + middle


def test_the_middle_of_the_mouth_is_the_origin_and_eyes_are_a_unit_apart(mesh):
    plane = face_planes(mesh[None])[0]
    np.testing.assert_allclose(on_plane(plane, mesh[list(CORNERS)]).mean(0), 0, atol=1e-9)
    left, right = on_plane(plane, mesh[[33, 263]])
    assert right[0] - left[0] == pytest.approx(1, abs=1e-6)
    assert on_plane(plane, mesh[152])[1] > 0.3 > 0 > on_plane(plane, mesh[1])[1], "v points down the face"


def test_a_rolled_and_distant_head_has_the_same_coordinates(mesh):
    poses = np.stack([mesh, turned(mesh, roll=25, scale=0.4)])
    first, second = (on_plane(plane, pose[list(LIPS)]) for plane, pose in zip(face_planes(poses), poses, strict=True))
    np.testing.assert_allclose(second, first, atol=1e-6)


def test_a_turned_head_foreshortens_its_plane(mesh):
    """What lies on the plane keeps its coordinates; the lips, of another depth than the corners, nearly do."""
    poses = np.stack([mesh, turned(mesh, yaw=30)])
    planes = face_planes(poses)
    lengths = np.linalg.norm(planes[:, :, 0], axis=1)
    upright = planes[0, :, 0] / lengths[0]
    assert lengths[1] / lengths[0] < 0.95 and upright[0] > 0.9
    first, second = (on_plane(plane, pose[list(LIPS)]) for plane, pose in zip(planes, poses, strict=True))
    np.testing.assert_allclose(second.mean(0), first.mean(0), atol=0.08)


def test_frames_without_a_face_have_no_plane_and_shots_have_faces_of_their_own(mesh):
    other = turned(mesh) * [1.0, 1.3, 1.0]  # a longer face
    gap = np.full_like(mesh, np.nan)
    planes = face_planes(np.stack([mesh, gap, mesh, other]), cuts=(3,))
    assert np.isnan(planes[1]).all() and np.isfinite(planes[[0, 2, 3]]).all()
    np.testing.assert_allclose(planes[3], face_planes(other[None])[0])
    np.testing.assert_allclose(planes[0], face_planes(mesh[None])[0])
