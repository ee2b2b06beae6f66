"""The effect fades with the head's turn, eases where the face is lost, and is at full strength everywhere else."""

import re

import numpy as np
import pytest

from latentsync_core.faces import FaceTrack, FadeLimits, effect_strength, why_unshown
from latentsync_core.faces.face_track import GapFilling
from latentsync_core.faces.tracking.fade import (
    CHIN,
    FOREHEAD,
    LEFT_SIDE,
    RIGHT_SIDE,
    head_angles,
)

FULL, NONE = pytest.approx(1.0), pytest.approx(0.0)


def turned_mesh(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """A mesh (468, 3) whose sides, forehead and chin lie as in a head turned by these degrees."""
    mesh = np.zeros((468, 3), np.float32)
    corners = np.zeros((4, 3))
    corners[:2, 0], corners[2:, 1] = (-80, 80), (-100, 100)
    for angle, axes in ((yaw, (0, 2)), (pitch, (1, 2)), (roll, (0, 1))):
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        first, second = corners[:, axes[0]].copy(), corners[:, axes[1]].copy()
        corners[:, axes[0]], corners[:, axes[1]] = cos * first - sin * second, sin * first + cos * second
    mesh[[LEFT_SIDE, RIGHT_SIDE, FOREHEAD, CHIN]] = corners + 300
    return mesh


def track_of(meshes: list, cuts=(), scores=None, lip_shifts=None) -> FaceTrack:
    stacked = np.stack([np.full((468, 3), np.nan) if m is None else m for m in meshes])
    scores = np.ones(len(meshes)) if scores is None else np.array(scores)
    filling = GapFilling(max_gap=0)
    return FaceTrack.from_meshes(
        stacked, scores, cuts=list(cuts), size=(600, 600), filling=filling, lip_shifts=lip_shifts
    )


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (30, 0), (-50, 0), (0, 20), (0, -35)])
def test_angles_are_read_off_the_mesh_however_the_head_is_tilted(yaw, pitch):
    for roll in (0, 25, -60):
        found = head_angles(turned_mesh(yaw, pitch, roll)[None])
        assert [float(angle[0]) for angle in found] == pytest.approx([yaw, pitch], abs=0.01)


@pytest.mark.parametrize(
    ("yaw", "pitch", "strength"),
    [(0, 0, FULL), (44, 0, FULL), (-52.5, 0, pytest.approx(0.5, abs=1e-4)), (61, 0, NONE)]
    + [(0, 39, FULL), (0, -47.5, pytest.approx(0.5, abs=1e-4)), (0, 56, NONE)],
)
def test_a_turned_head_fades_the_effect(yaw, pitch, strength):
    assert effect_strength(track_of([turned_mesh(yaw, pitch)] * 3))[1] == strength


def test_limits_are_adjustable():
    track = track_of([turned_mesh(30)] * 3)
    assert effect_strength(track, FadeLimits(yaw=10))[1] == NONE
    assert effect_strength(track, FadeLimits(yaw=80))[1] == FULL


def test_it_eases_at_gaps_but_neither_at_cuts_nor_at_the_ends():
    face = turned_mesh()
    strength = effect_strength(track_of([face] * 12 + [None] * 3 + [face] * 12 + [face] * 4, cuts=[27]))
    assert strength[0] == FULL and strength[-1] == FULL and strength[26:28] == pytest.approx(1.0)
    assert (strength[12:15] == 0).all()
    leaving, coming = strength[7:12], strength[15:20]
    assert (np.diff(leaving) < 0).all() and 0 < leaving[-1] < 0.2
    assert coming == pytest.approx(leaving[::-1])
    sudden = effect_strength(track_of([face] * 5 + [None] * 3 + [face] * 5), FadeLimits(ease=0))
    assert sudden[4] == FULL and sudden[8] == FULL


def test_a_hidden_mouth_fades_with_the_meshs_own_doubt():
    face = turned_mesh()
    strength = effect_strength(track_of([face] * 3, scores=[1.0, 0.7, 0.5]))
    assert strength[0] == FULL and 0.3 < strength[1] < 0.7 and strength[2] == NONE


@pytest.mark.parametrize(
    ("mesh", "known", "reason"),
    [
        (turned_mesh() * 0.1, {}, "only about 16 pixels wide"),
        (turned_mesh(yaw=70), {}, "turned 70 degrees to the side"),
        (turned_mesh(pitch=-60), {}, "turned 60 degrees up or down"),
        (turned_mesh(), {"scores": [0.45] * 6}, r"not sure enough of it \(score 0.45"),
        (turned_mesh(), {"lip_shifts": np.full(6, 0.1)}, "its mouth cannot be made out"),
    ],
)
def test_a_face_that_is_never_shown_has_a_reason(mesh, known, reason):
    mesh[mesh[:, 0] == 0] = mesh[LEFT_SIDE]  # the box is that of the points which are set
    track = track_of([mesh] * 6, **known)
    if "16 pixels" not in reason:
        assert not effect_strength(track).any()
    assert re.search(reason, why_unshown(track))
