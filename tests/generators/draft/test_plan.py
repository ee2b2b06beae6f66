"""The mouths of a clip: within what is natural to its face, at rest where it must be."""

from dataclasses import replace

import numpy as np
import pytest

from latentsync_core.faces import FaceTrack
from latentsync_core.faces.face_track import GapFilling
from latentsync_core.generators.draft.plan import MOST_OPENING, USUAL_OPENING, asked_shapes, plan_mouths

LOWER_LIP = [14, 87, 178, 88, 95, 317, 402, 318, 324, 17]


@pytest.fixture(scope="module")
def mesh(golden) -> np.ndarray:
    return golden("astronaut_mesh.npz")["mesh"].astype(np.float32)


def track_of(meshes: np.ndarray, cuts=()) -> FaceTrack:
    scores = np.isfinite(meshes[:, 0, 0]).astype(float)
    return FaceTrack.from_meshes(meshes, scores, cuts=list(cuts), size=(512, 512), filling=GapFilling(max_gap=0))


def opened(mesh: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Meshes whose lower lip is moved down by `gaps` (N,), eye distances."""
    eyes = np.linalg.norm(mesh[263, :2] - mesh[33, :2])
    meshes = np.repeat(mesh[None], len(gaps), 0)
    meshes[:, LOWER_LIP, 1] += (gaps * eyes)[:, None].astype(np.float32)
    return meshes


def asked(opening: float, frames: int) -> np.ndarray:
    return np.tile([opening, 0.0, 0.0], (frames, 1))


def test_a_still_face_opens_as_far_as_most_do(mesh):
    plan = plan_mouths(track_of(np.repeat(mesh[None], 4, 0)), [0, 1, 2, 3, 3, 2], asked(1.0, 6))
    assert [mouth.opening for mouth in plan.mouths] == pytest.approx([USUAL_OPENING] * 6)
    assert {mouth.strength for mouth in plan.mouths} == {1.0}


def test_a_speaking_face_opens_as_far_as_it_was_filmed_to(mesh):
    gaps = np.abs(np.sin(np.arange(40)))
    small, large = (plan_mouths(track_of(opened(mesh, reach * gaps)), range(40), asked(1.0, 40)) for reach in (0.08, 2))
    assert small.mouths[0].opening < large.mouths[0].opening == MOST_OPENING
    widest = np.argsort(-gaps)[:10]
    assert large.shots[0].donors[0] == widest[0] and set(large.shots[0].donors) <= set(widest.tolist())


def test_little_opening_is_none_and_rounding_narrows(mesh):
    shapes = np.array([[0.04, 0, 0], [0.3, 0, 0], [0.3, 1, 0], [0.3, 0, 1]], float)
    shut, plain, spread, rounded = plan_mouths(track_of(mesh[None]), [0] * 4, shapes).mouths
    assert shut.opening == 0 < plain.opening
    assert rounded.width < plain.width < spread.width


def test_small_turned_and_missing_faces_are_not_drawn(mesh):
    middle = mesh.mean(0)

    def scaled(width: float) -> np.ndarray:
        return (mesh - middle) * (width / np.ptp(mesh[:, 0])) + middle

    def turned(degrees: float) -> np.ndarray:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return ((mesh - middle) @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T + middle).astype(np.float32)

    poses = [scaled(100), scaled(48), scaled(36), turned(80), np.full_like(mesh, np.nan)]
    plan = plan_mouths(track_of(np.stack(poses)), range(5), asked(0.5, 5), np.full(5, 0.8))
    strength = [mouth.strength for mouth in plan.mouths]
    assert strength[0] == pytest.approx(0.8) and 0 < strength[1] < 0.8 and strength[2:] == [0, 0, 0]


def test_a_face_too_far_turned_to_be_drawn_lends_no_teeth(mesh):
    gaps = np.array([0.0, 0.1, 0.2, 0.1])
    meshes = opened(mesh, gaps)
    meshes[2] = (meshes[2] - meshes[2].mean(0)) * [0.1, 1, 1] + meshes[2].mean(0)  # nearly edge-on
    (shot,) = plan_mouths(track_of(meshes), range(4), asked(0.5, 4)).shots
    assert 2 not in shot.donors and shot.donors[0] in (1, 3)


def test_every_shot_is_calibrated_by_itself(mesh):
    gaps = np.abs(np.sin(np.arange(20)))
    still = np.repeat(mesh[None] * np.float32(1.1), 20, 0)
    nobody = np.full_like(still[:5], np.nan)
    track = track_of(np.concatenate([opened(mesh, gaps), nobody, still]), cuts=(20, 25))
    plan = plan_mouths(track, range(45), asked(1.0, 45))
    talking, silent = plan.shots
    assert (talking.start, talking.stop, silent.start, silent.stop) == (0, 20, 25, 45)
    assert talking.opening == MOST_OPENING and silent.opening == USUAL_OPENING
    assert plan.shot_of(30) is silent and all(25 <= donor < 45 for donor in silent.donors)
    assert plan.mouths[22].strength == 0


def test_what_is_asked_keeps_its_level_and_its_time():
    steps = np.arange(100)
    predicted = np.stack([0.4 + 0.3 * np.sin(steps / 6), 0 * steps, 0 * steps + 0.2], 1)
    times = np.arange(48) / 25
    shapes = asked_shapes(predicted, times)
    raw = np.interp(times * 50, steps, predicted[:, 0])
    assert np.corrcoef(shapes[:, 0], raw)[0, 1] > 0.99
    assert shapes[:, 2] == pytest.approx(np.full(48, 0.2))
    outside = asked_shapes(predicted, [-1.0, 5.0])
    np.testing.assert_allclose(outside, asked_shapes(predicted, [0.0, 99 / 50]))


def test_a_brief_closure_closes():
    """A prediction rounds off what lasts 60 ms, as the lips of a "p" do."""
    opening = np.full(60, 0.45)
    opening[29:32] = 0.1
    predicted = np.stack([opening, 0 * opening, 0 * opening], 1)
    assert asked_shapes(predicted, [30 / 50])[0, 0] < 0.2
    limits = asked_shapes(np.tile([[1.0, 1.0, 1.0], [0.0, -1.0, 0.0]], (30, 1)), np.arange(60) / 50)
    assert (limits.min(0) >= (0, -1, 0)).all() and (limits.max(0) <= 1).all()


def test_the_track_is_left_as_it_is(mesh):
    track = track_of(np.repeat(mesh[None], 3, 0))
    before = replace(track, mesh=track.mesh.copy())
    plan_mouths(track, [0, 1, 2], asked(0.5, 3))
    np.testing.assert_array_equal(track.mesh, before.mesh)
