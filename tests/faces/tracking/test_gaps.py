"""Holding and refusing on tracks made up for it: what may be bridged, and what may not."""

from fractions import Fraction

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import effect_strength, without_gaps
from latentsync_core.faces.face_track import FaceState, FaceTrack, GapFilling

TIMES = tuple(Fraction(index, 10) for index in range(40))
END = Fraction(4)


def track(absent: range, after: float = 0.0, cuts=()) -> FaceTrack:
    """40 frames of a face 100 pixels wide without those in `absent`; it moves `after` pixels meanwhile."""
    mesh = np.repeat(100 * np.random.RandomState(0).rand(1, 468, 3), 40, 0)
    mesh[absent.stop :] += after
    mesh[absent.start : absent.stop] = np.nan
    return FaceTrack.from_meshes(mesh, np.ones(40), cuts=list(cuts), size=(400, 400), filling=GapFilling(max_gap=5))


def test_pass_and_a_whole_track_stay_as_they_are():
    assert without_gaps(track(range(8, 30)), "pass", TIMES, END).counts()["absent"] == 22
    whole = track(range(8, 11))
    assert without_gaps(whole, "stop", TIMES, END) is whole  # a short gap is interpolated, none is left


def test_hold_stays_in_place_and_moves_on_just_before_the_face_is_back():
    held = without_gaps(track(range(8, 30), after=40), "hold", TIMES, END)
    assert held.counts() == {"absent": 0, "detected": 18, "interpolated": 0, "held": 22}
    assert held.runs() == [(0, 40)]
    np.testing.assert_array_equal(held.points[8:20], np.repeat(held.points[7:8], 12, 0))
    steps = np.diff(held.points[19:31, 0, 0])
    np.testing.assert_allclose(steps, 40 / 11, rtol=1e-3)
    np.testing.assert_allclose(held.boxes[29, 0] - held.boxes[7, 0], 400 / 11, rtol=1e-3)


def test_held_frames_show_the_whole_effect():
    held = without_gaps(track(range(8, 30)), "hold", TIMES, END)
    strength = effect_strength(held)
    np.testing.assert_array_equal(strength[8:30], np.full(22, strength[20]))


@pytest.mark.parametrize(
    ("absent", "after", "cuts", "left"),
    [
        (range(8, 30), 300, (), 22),  # found again elsewhere: where it was meanwhile is not known
        (range(0, 12), 0, (), 12),  # never seen before
        (range(20, 40), 0, (), 0),  # never seen again: held to the end
        (range(8, 30), 0, (20,), 10),  # held up to the cut, not beyond
        (range(8, 30), 0, (8,), 22),
        (range(8, 30), 0, (30,), 0),
    ],
)
def test_hold_never_crosses_a_cut_nor_invents_a_place(absent, after, cuts, left):
    held = without_gaps(track(absent, after, cuts), "hold", TIMES, END)
    assert held.counts()["absent"] == left
    assert (np.isnan(held.points[:, 0, 0]) == (held.states == FaceState.ABSENT)).all()


def test_stop_lists_the_times():
    with pytest.raises(LatentSyncError, match=r"missing in 22 of 40 frames, at 0:00\.8-0:03\.0; nothing was generated"):
        without_gaps(track(range(8, 30)), "stop", TIMES, END)


def test_another_word_is_refused():
    with pytest.raises(LatentSyncError, match="'guess'.*pass, hold, stop"):
        without_gaps(track(range(8, 30)), "guess", TIMES, END)
