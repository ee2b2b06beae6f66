"""A redrawn portrait: the mouth asked for is the one measured, and nothing else has moved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentsync_core.faces import FaceTrack, track_faces
from latentsync_core.faces.landmarks import MeshFitter, mesh_box, roi_from_mesh
from latentsync_core.faces.mouth_opening import mouth_opening
from latentsync_core.generators.draft.drawn_mouth import inner_mouth
from latentsync_core.generators.draft.face_plane import face_planes
from latentsync_core.generators.draft.filmed_face import FilmedFace, face_box
from latentsync_core.generators.draft.redraw import Redrawn, redraw
from latentsync_core.generators.draft.reshape import Mouth

PORTRAIT = Path(__file__).parents[2] / "faces" / "astronaut.jpg"
SHUT, OPEN, WIDE = Mouth(0.0, 0.7), Mouth(0.1, 0.7), Mouth(0.25, 0.65)


@pytest.fixture(scope="module")
def fitter() -> MeshFitter:
    return MeshFitter()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.array(Image.open(PORTRAIT).resize((704, 704), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def track(portrait) -> FaceTrack:
    return track_faces([portrait])


@pytest.fixture(scope="module")
def box(track) -> tuple[int, int, int, int]:
    return face_box(track.mesh[0], face_planes(track.mesh)[0])


@pytest.fixture(scope="module")
def face(portrait, track, box) -> FilmedFace:
    left, top, right, bottom = box
    return FilmedFace.cut(portrait[top:bottom, left:right], box, track.mesh[0], face_planes(track.mesh)[0])


@pytest.fixture(scope="module")
def inner(face):
    return inner_mouth([face])


@pytest.fixture(scope="module")
def measured(portrait, track, box, fitter):
    """The opening that the mesh network finds in the portrait with a redrawn face."""
    left, top, right, bottom = box

    def measure(redrawn: Redrawn) -> float:
        picture = portrait.copy()
        picture[top:bottom, left:right] = redrawn.pixels
        return float(mouth_opening(fitter.fit(picture, roi_from_mesh(track.mesh[0]))[0]))

    return measure


def test_the_mesh_finds_the_mouth_that_was_asked_for(track, face, inner, measured):
    asked = np.array([0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25])
    found = [measured(redraw(face, Mouth(gap, 0.7), inner)) for gap in asked.tolist()]
    assert np.corrcoef(asked, found)[0, 1] > 0.95 and (np.diff(found) > 0).all()
    assert found[0] < 0.4 * mouth_opening(track.mesh[0]), "a smile that shows its teeth is shut"


def test_a_still_pixel_is_the_filmed_one(face, inner):
    for mouth in (SHUT, OPEN, WIDE):
        drawn = redraw(face, mouth, inner)
        assert drawn.pixels.dtype == np.uint8 and 0 <= drawn.share.min() and drawn.share.max() == 1
        np.testing.assert_array_equal(drawn.pixels[drawn.share == 0], face.pixels[drawn.share == 0])
        rim = np.concatenate([drawn.share[0], drawn.share[-1], drawn.share[:, 0], drawn.share[:, -1]])
        assert rim.max() == 0, "the box holds all that moves"
        (left, bottom), (right, _) = face.mesh[(98, 1), :2].min(0), face.mesh[(327, 1), :2].max(0)
        assert drawn.share[: int(bottom), int(left) : int(right)].max() == 0, "the nose is not the mouth's"


def test_without_strength_nothing_changes_and_with_half_of_it_the_mouth_is_halfway(face, inner, measured):
    whole, half, none = (redraw(face, replace(SHUT, strength=s), inner) for s in (1.0, 0.5, 0.0))
    np.testing.assert_array_equal(none.pixels, face.pixels)
    assert none.share.max() == 0
    gaps = [measured(drawn) for drawn in (none, half, whole)]
    assert gaps[0] > 1.3 * gaps[1] > 1.6 * gaps[2]


def test_shut_lips_leave_no_row_of_teeth(face, inner):
    """What is pale and without colour between the corners of the mouth: teeth, or a highlight on a lip."""
    (left, top), (right, bottom) = face.mesh[(61, 13), :2].min(0), face.mesh[(291, 17), :2].max(0)
    mouth = (slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1))

    def pale(pixels: np.ndarray) -> int:
        part = pixels[mouth].astype(float)
        return int(((part.min(-1) > 0.83 * part.max(-1)) & (part.mean(-1) > 150)).sum())

    assert pale(redraw(face, SHUT, inner).pixels) < 0.3 * pale(face.pixels)


def test_upper_teeth_stay_with_the_skull_as_the_jaw_drops(face, inner):
    """What two openings show of them agrees best in the same place of the head."""
    half, whole = (redraw(face, mouth, inner).pixels.mean(-1) for mouth in (replace(OPEN, opening=0.15), WIDE))

    def teeth(luma: np.ndarray, aside: float = 0.0, down: float = 0.0) -> np.ndarray:
        u, v = np.meshgrid(np.linspace(-0.2, 0.2, 60) + aside, np.linspace(0.03, 0.06, 6) + down)
        columns, rows = np.round(np.stack([u, v, np.ones_like(u)], -1) @ face.plane.T).astype(int).transpose(2, 0, 1)
        return luma[rows, columns].ravel()

    shifts = [(aside, down) for aside in (-0.03, 0.0, 0.03) for down in (-0.02, 0.0, 0.02)]
    agreement = [np.corrcoef(teeth(half), teeth(whole, *shift))[0, 1] for shift in shifts]
    assert shifts[int(np.argmax(agreement))] == (0.0, 0.0)


def test_a_face_at_the_frames_edge_fades_towards_it(face, inner):
    chin = int(face.mesh[152, 1])
    cut = replace(face, pixels=face.pixels[:chin])
    drawn = redraw(cut, WIDE, inner)
    assert drawn.share[-1].max() == 0 and drawn.share.max() == 1
    beside = replace(face, pixels=face.pixels[:4, :4])
    np.testing.assert_array_equal(redraw(beside, WIDE, inner).pixels, beside.pixels)


def test_a_mouth_that_was_never_open_gets_teeth_in_the_colours_of_its_face(face, inner):
    shut = replace(face, pixels=redraw(face, SHUT, inner).pixels, mesh=shut_mesh(face.mesh))
    dim = replace(shut, pixels=(shut.pixels * 0.5).astype(np.uint8))
    bright, dark = (inner_mouth([filmed]) for filmed in (shut, dim))
    assert bright.upper[3].max() == 1 and bright.lower[3].max() > 0.8
    np.testing.assert_allclose(dark.upper[:3], bright.upper[:3] / 2, atol=1.5, rtol=0)  # levels; half of them is whole


def shut_mesh(mesh: np.ndarray) -> np.ndarray:
    """The mesh with its inner lips on one line."""
    upper, lower = [191, 80, 81, 82, 13, 312, 311, 310, 415], [95, 88, 178, 87, 14, 317, 402, 318, 324]
    shut = mesh.copy()
    shut[upper] = shut[lower] = (mesh[upper] + mesh[lower]) / 2
    return shut


def test_the_box_grows_with_the_face(track):
    plane = face_planes(track.mesh)[0]
    double = track.mesh[0] * 2
    sizes = [np.subtract(box[2:], box[:2]) for box in (face_box(track.mesh[0], plane), face_box(double, 2 * plane))]
    np.testing.assert_allclose(sizes[1], 2 * sizes[0], atol=8)
    width = np.subtract(*mesh_box(track.mesh[0])[[2, 0]])
    assert width < sizes[0][0] < 2 * width
