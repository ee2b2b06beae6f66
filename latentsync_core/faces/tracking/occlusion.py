"""Whether something covers the mouth: a hand or a microphone leaves the mesh network sure of the face, not of the lips.

Its presence score hardly falls while eyes and brows are in view. But it has to guess lips that it cannot see, and then
guesses them elsewhere when the same face fills more or less of its view.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..landmarks import MeshFitter, roi_from_mesh

LIPS = (61, 291, 0, 17, 13, 14, 78, 308, 37, 267, 84, 314, 40, 270, 91, 321)  # points of the face mesh
LEFT_SIDE, RIGHT_SIDE = 234, 454
VIEWS = (0.85, 1.2)  # sizes of the second looks' view over that of the first
LOOK_INTERVAL = 3  # frames between two second looks
STEADY_SHIFT, GUESSED_SHIFT = 0.022, 0.034  # face widths; lips in view shift by 0.01, at most 0.021
OWN_SHARE, MOST_STEADY = 1.6, 0.028  # of the shot's median, up to which a small or drawn face's lips are as steady

__all__ = ["LOOK_INTERVAL", "lip_shift", "lips_in_view"]


def lip_shift(fitter: MeshFitter, frame: np.ndarray, mesh: np.ndarray) -> float:
    """How far the lips move, in face widths, when a fitted face (468, 3) is looked at from nearer and further away."""
    region = roi_from_mesh(mesh)
    width = np.linalg.norm(mesh[RIGHT_SIDE] - mesh[LEFT_SIDE])
    again = [fitter.fit(frame, replace(region, size=region.size * view))[0] for view in VIEWS]
    shift = np.stack(again)[:, LIPS, :2] - mesh[None, LIPS, :2]  # (views, lips, 2)
    return float(np.linalg.norm(shift, axis=-1).mean() / width)


def lips_in_view(shifts: np.ndarray, runs: Sequence[tuple[int, int]]) -> np.ndarray:
    """How sure it is that the lips can be seen: (N,) in 0..1 from shifts (N,) that are NaN where nobody looked twice.

    runs: [start, stop) of the stretches with a face. A single odd look does not count; what is seen at two looks in a
    row covers the mouth from the look before to the look after them.
    """
    view = np.ones(len(shifts))
    for start, stop in runs:
        looks = start + np.flatnonzero(np.isfinite(shifts[start:stop]))
        if len(looks) == 0:
            continue
        seen = np.pad(shifts[looks], 1, mode="edge")
        steady = np.median(np.stack([seen[:-2], seen[1:-1], seen[2:]]), axis=0)
        low = np.clip(OWN_SHARE * np.median(steady), STEADY_SHIFT, MOST_STEADY)
        sure = np.clip((GUESSED_SHIFT - steady) / (GUESSED_SHIFT - low), 0, 1)
        spread = np.pad(sure, 1, mode="edge")
        least = np.minimum(np.minimum(spread[:-2], spread[1:-1]), spread[2:])
        view[start:stop] = np.interp(np.arange(start, stop), looks, least)
    return view
