"""Face detection: agreement with MediaPipe on a portrait, small faces, the arithmetic around the networks."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded import draw

from latentsync_core.faces.detect import FaceDetector, anchor_centres, letterbox, tile_regions, weighted_suppression


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.array(Image.open(Path(__file__).parent / "astronaut.jpg"))


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.mark.parametrize(("step", "name", "size"), [(0, "full_range", 192), (1, "short_range", 128)])
def test_portrait_is_found_where_mediapipe_finds_it(portrait, detector, golden, step, name, size):
    recorded = golden("astronaut_mesh.npz")
    faces = list(detector.passes(portrait, tiles=False))[step]
    assert len(faces) == 1
    corner = 0.5 * 352 / size  # MediaPipe samples the corners of its input's pixels, we their middles
    np.testing.assert_allclose(faces.boxes[0], recorded[f"{name}.box"] - corner, atol=3.5)
    np.testing.assert_allclose(faces.keypoints[0], recorded[f"{name}.keypoints"] - corner, atol=3.5)
    assert faces.scores[0] == pytest.approx(recorded[f"{name}.score"], abs=0.03) == faces.best_score


def test_two_people_are_two_faces(portrait, detector):
    pair = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    faces = detector.detect(pair)
    assert len(faces) == 2
    left, right = sorted(faces.boxes[:, [0, 2]].mean(1))
    assert left + right == pytest.approx(pair.shape[1] - 1, abs=6)  # the second is the mirror image of the first


def test_a_small_face_in_a_large_frame_needs_tiles(portrait, detector):
    frame = np.full((720, 1280, 3), 70, np.uint8)
    small = np.array(Image.fromarray(portrait).resize((128, 128)))  # its face is 35 pixels wide
    frame[500:628, 1000:1128] = small
    assert len(detector.detect(frame, tiles=False)) == 0
    faces = detector.detect(frame)
    assert len(faces) >= 1
    expected = np.array([1000, 500]) + detector.detect(portrait).keypoints[0] * 128 / 352
    np.testing.assert_allclose(faces.keypoints[0, :4], expected[:4], atol=4)  # eyes, nose, mouth


def test_a_known_face_is_found_in_its_neighbourhood(portrait, detector):
    frame = np.full((900, 1400, 3), 70, np.uint8)
    frame[400:752, 900:1252] = portrait
    box = detector.detect(portrait).boxes[0] + np.array([900, 400, 900, 400])
    np.testing.assert_allclose(detector.detect_near(frame, box).boxes[0], box, atol=6)


def test_a_picture_without_a_face_gives_none_and_the_best_score(detector):
    faces = detector.detect(np.full((120, 160, 3), 128, np.uint8))
    assert len(faces) == 0 and faces.boxes.shape == (0, 4) and faces.keypoints.shape == (0, 6, 2)
    assert 0 <= faces.best_score < detector.threshold


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 300, 3), (300, 5, 3), (65, 64, 3)])
def test_odd_frames_are_looked_at_without_complaint(detector, shape):
    assert len(detector.detect(np.zeros(shape, np.uint8))) == 0


def test_read_only_and_mirrored_views_are_accepted_silently(portrait, detector):
    view = portrait[:, ::-1]
    view.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(detector.detect(view)) == 1
        assert len(detector.detect(np.frombuffer(portrait.tobytes(), np.uint8).reshape(portrait.shape))) == 1


def test_threshold_must_be_a_probability():
    with pytest.raises(ValueError, match="probability"):
        FaceDetector(threshold=1.5)


def test_anchors_lie_on_their_grids():
    short, full = anchor_centres(((16, 2), (8, 6))), anchor_centres(((48, 1),))
    assert short.shape == (896, 2) and full.shape == (2304, 2)
    np.testing.assert_allclose(full[49], [1.5 / 48, 1.5 / 48])
    np.testing.assert_allclose(short[[2, 3, 511, 512]], [[3 / 32, 1 / 32]] * 2 + [[31 / 32] * 2, [1 / 16] * 2])


@pytest.mark.parametrize("region", [(0, 0, 640, 360), (100, 40, 300, 360), (7, 9, 8, 10)])
def test_letterbox_keeps_aspect_and_leads_back(region):
    frame = (40 * draw("letterbox", 360, 640, 3) + 128).clip(0, 255).astype(np.uint8)
    picture, placement = letterbox(frame, region, 192)
    assert picture.shape == (3, 192, 192) and picture.min() >= -1 and picture.max() <= 1
    x0, y0, x1, y1 = region
    middle = placement.to_frame(np.array([0.5, 0.5]))
    np.testing.assert_allclose(middle, [(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2], atol=max(x1 - x0, y1 - y0) / 192)
    across = placement.to_frame(np.eye(2)) - placement.to_frame(np.zeros((1, 2)))
    assert across[0, 0] == pytest.approx(across[1, 1], rel=0.01)


def test_tiles_cover_the_frame_with_overlap():
    frame = np.zeros((1080, 1920, 3), np.uint8)
    for fraction in (1.0, 0.5):
        covered = np.zeros((1080, 1920), int)
        for x0, y0, x1, y1 in tile_regions(frame, fraction):
            assert x1 - x0 == y1 - y0 == int(1080 * fraction)
            covered[y0:y1, x0:x1] += 1
        assert covered.min() >= 1 and covered.max() >= 2


def test_overlapping_candidates_become_their_weighted_mean():
    box = np.array([[0.0, 0.0], [10.0, 10.0]] + [[5.0, 5.0]] * 6)
    faces = weighted_suppression(np.stack([box + 1, box, box + 100]), np.array([0.3, 0.9, 0.6]), 0.9)
    np.testing.assert_allclose(faces.boxes, [[0.25, 0.25, 10.25, 10.25], [100, 100, 110, 110]])
    np.testing.assert_allclose(faces.scores, [0.9, 0.6])
