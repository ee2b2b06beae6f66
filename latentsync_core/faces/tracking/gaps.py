"""The policies for frames without a face: pass them through, hold the last known face, or stop."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ...errors import LatentSyncError
from ...intervals import listed, runs_of, stretches_of
from ...options import MISSING
from ..face_track import (
    FaceState,
    FaceTrack,
    is_plausible,
)
from ..landmarks import alignment_points, mesh_box

TRANSITION_FRAMES = 10  # over which a held face moves to where the face is found again


def without_gaps(track: FaceTrack, missing: str, times: Sequence[Fraction], end: Fraction) -> FaceTrack:
    """The track by the policy `missing`: "pass" as it is, "hold" with its gaps held, "stop" only if it has none.

    times: seconds of every frame; end: of the last one. Raises LatentSyncError for "stop" with the times of the gaps,
    and for other words.
    """
    if missing not in MISSING:
        raise LatentSyncError(f"The policy {missing!r} for missing faces is unknown; choose {', '.join(MISSING)}.")
    if missing == "stop" and not track.present.all():
        gone = stretches_of(~track.present, times, end)
        raise LatentSyncError(
            f"The face is missing in {int((~track.present).sum())} of {len(track)} frames, at {listed(gone)}; nothing "
            "was generated. Trim the clip, or let these frames pass untouched or hold the last known face instead."
        )
    return hold_gaps(track) if missing == "hold" else track


def hold_gaps(track: FaceTrack) -> FaceTrack:
    """Keep the last known face through every gap that follows one in the same shot.

    Before the face is found again near by, the held one moves there; a gap after which it is found elsewhere stays.
    Held frames have the state HELD.
    """
    mesh, states = track.mesh.copy(), track.states.copy()
    for start, stop in runs_of(~track.present, track.cuts):
        if start == 0 or start in track.cuts:
            continue
        mesh_before = mesh[start - 1]
        found_again = stop < len(track) and stop not in track.cuts
        if found_again and not is_plausible(mesh_before, mesh[stop]):
            continue
        mesh[start:stop], states[start:stop] = mesh_before, FaceState.HELD
        if found_again:
            length = min(TRANSITION_FRAMES, stop - start)
            share = (np.arange(1, length + 1, dtype=np.float32) / (length + 1))[:, None, None]
            mesh[stop - length : stop] = (1 - share) * mesh_before + share * mesh[stop]
    return replace(track, mesh=mesh, points=alignment_points(mesh), boxes=mesh_box(mesh), states=states)
