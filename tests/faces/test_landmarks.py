"""The mesh in frame pixels: agreement with MediaPipe, and that it moves as the picture moves."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentsync_core.faces.detect import FaceDetector
from latentsync_core.faces.landmarks import (
    MeshFitter,
    Roi,
    alignment_points,
    crop_roi,
    mesh_box,
    points_in_frame,
    roi_from_box,
    roi_from_mesh,
)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.array(Image.open(Path(__file__).parent / "astronaut.jpg"))


@pytest.fixture(scope="module")
def fitter() -> MeshFitter:
    return MeshFitter()


@pytest.fixture(scope="module")
def mesh(portrait, fitter) -> np.ndarray:
    """The whole chain: detection, its region, mesh, its region, mesh."""
    faces = FaceDetector().detect(portrait)
    first, _ = fitter.fit(portrait, roi_from_box(faces.boxes[0], *faces.keypoints[0, :2]))
    second, presence = fitter.fit(portrait, roi_from_mesh(first))
    assert presence > 0.99
    return second


def test_mesh_of_the_portrait_is_mediapipes(mesh, golden):
    recorded = golden("astronaut_mesh.npz")["mesh"]
    distance = np.linalg.norm(mesh[:, :2] - recorded[:, :2], axis=1)
    assert distance.mean() < 1.2 and np.percentile(distance, 95) < 2.5  # the face is 95 pixels wide
    np.testing.assert_allclose(mesh[:, 2], recorded[:, 2], atol=3)
    np.testing.assert_allclose(alignment_points(mesh), alignment_points(recorded), atol=2)


def test_mesh_from_mediapipes_own_region_is_closer_still(portrait, fitter, golden):
    recorded = golden("astronaut_mesh.npz")
    mesh, _ = fitter.fit(portrait, roi_from_box(recorded["short_range.box"], *recorded["short_range.keypoints"][:2]))
    # MediaPipe samples pixel corners where we sample their middles: a constant of up to half a pixel of the crop
    distance = mesh[:, :2] - recorded["mesh"][:, :2]
    np.testing.assert_allclose(distance.mean(0), 0, atol=0.7)
    assert np.linalg.norm(distance - distance.mean(0), axis=1).max() < 1


def test_brows_and_nose_are_where_they_are(mesh):
    left, right, nose = alignment_points(mesh)
    eyes = mesh[[33, 133]].mean(0), mesh[[263, 362]].mean(0)  # left and right in the picture
    assert left[0] < nose[0] < right[0]
    assert left[1] < eyes[0][1] < nose[1] and right[1] < eyes[1][1] < nose[1] < mesh[13, 1]  # 13: upper lip


def test_alignment_points_are_plain_means_of_the_listed_points():
    mesh = np.zeros((2, 468, 3), np.float32)
    mesh[1, [71, 63, 105, 66, 107], 0] = [1, 2, 3, 4, 6]
    mesh[1, [168, 197, 5, 4, 75, 97, 2, 326, 305], 1] = np.arange(9)
    points = alignment_points(mesh)
    assert points.shape == (2, 3, 2)
    np.testing.assert_allclose(points[1], [[3.2, 0], [0, 0], [0, 4]])


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, 0.5), (13.5, -8.25)])
def test_points_follow_a_shift_below_a_pixel(portrait, fitter, mesh, shift):
    moved = np.array(
        Image.fromarray(portrait).transform(
            (352, 352), Image.Transform.AFFINE, (1, 0, -shift[0], 0, 1, -shift[1]), Image.Resampling.BICUBIC
        )
    )
    moved_mesh, _ = fitter.fit(moved, roi_from_mesh(mesh))
    moved_mesh, _ = fitter.fit(moved, roi_from_mesh(moved_mesh))
    np.testing.assert_allclose(alignment_points(moved_mesh) - alignment_points(mesh), [shift] * 3, atol=0.8)


@pytest.mark.parametrize("degrees", [-35, 20])
def test_points_follow_a_rotation(portrait, fitter, mesh, degrees):
    turned = np.array(Image.fromarray(portrait).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)))
    roi = roi_from_mesh(mesh)
    angle, middle = math.radians(-degrees), 175.5
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    x, y = turn @ (roi.x - middle, roi.y - middle) + middle
    found, presence = fitter.fit(turned, Roi(x, y, roi.size, roi.angle + angle))
    expected = (alignment_points(mesh) - middle) @ turn.T + middle
    assert presence > 0.9
    np.testing.assert_allclose(alignment_points(found), expected, atol=1.5)


def test_background_is_not_a_face(portrait, fitter):
    _, presence = fitter.fit(portrait, Roi(60, 280, 120, 0.0))
    assert presence < 0.1


def test_mesh_region_is_upright_by_the_eyes_and_half_larger(mesh):
    roi, box = roi_from_mesh(mesh), mesh_box(mesh)
    assert roi.size == pytest.approx(1.5 * max(box[2] - box[0], box[3] - box[1]))
    along_x = roi.axes[1] @ (mesh[263, :2] - mesh[33, :2])
    assert along_x == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("roi", [Roi(200, 150, 96, 0.0), Roi(200.3, 151.7, 192, 0.4), Roi(210, 160, 230, -1.1)])
def test_crop_and_points_agree_to_a_tenth_of_a_pixel(roi):
    """A frame whose colours are its coordinates: the crop shows where each of its pixels came from."""
    y, x = np.mgrid[:320, :400]
    fine = 16  # 8 bits hold 16 pixels at 1/16 pixel; the rest is recovered from the expected position
    frame = np.stack([x % 256, y % 256, 0 * x], -1).astype(np.uint8)
    crop = crop_roi(frame, roi, 192).numpy()[:2] * 255
    v, u = np.mgrid[:192:24, :192:24]
    points = np.stack([u.ravel() + 0.5, v.ravel() + 0.5, 0 * u.ravel()], -1).astype(float)
    where = points_in_frame(points, roi)[:, :2]
    inside = ((where > fine) & (where < (256 - fine, 256 - fine))).all(1)
    assert inside.sum() > 10
    seen = crop[:, v.ravel(), u.ravel()].T
    np.testing.assert_allclose(seen[inside], where[inside], atol=0.6 if roi.size > 192 else 0.1)


def test_a_region_beyond_the_frame_repeats_its_border(portrait):
    crop = crop_roi(portrait, Roi(-200, 100, 80, 0.3), 192)
    assert crop.shape == (3, 192, 192)
    assert 0 <= crop.min() and crop.max() <= 1 and crop.std() > 0
