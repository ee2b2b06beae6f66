"""Occlusion of the mouth: under a hand or a microphone the mesh network still finds the face, but guesses the lips.

Its presence score hardly falls while eyes and brows are visible. But occluded lips are placed elsewhere when the same
face fills more or less of its input, so it is fitted a second time at other scales.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..landmarks import MeshFitter, roi_from_mesh
from ..pictures import Picture

LIPS = (61, 291, 0, 17, 13, 14, 78, 308, 37, 267, 84, 314, 40, 270, 91, 321)  # points of the face mesh
LEFT_SIDE, RIGHT_SIDE = 234, 454
VIEWS = (0.85, 1.2)  # sizes of the second fits' regions over that of the first
REFIT_INTERVAL = 3  # frames between two second fits
STEADY_SHIFT, GUESSED_SHIFT = 0.022, 0.034  # face widths; lips in view shift by 0.01, at most 0.021
OWN_SHARE, MOST_STEADY = 1.6, 0.028  # of the shot's median, up to which a small or drawn face's lips are as steady

__all__ = ["REFIT_INTERVAL", "lip_shift", "lips_in_view"]


def lip_shift(fitter: MeshFitter, frame: Picture, mesh: np.ndarray) -> float:
    """How far the lips move, in face widths, when a face with `mesh` (468, 3) is fitted again at two other scales."""
    region = roi_from_mesh(mesh)
    width = np.linalg.norm(mesh[RIGHT_SIDE] - mesh[LEFT_SIDE])
    again = [fitter.fit(frame, replace(region, size=region.size * view))[0] for view in VIEWS]
    shift = np.stack(again)[:, LIPS, :2] - mesh[None, LIPS, :2]  # (views, lips, 2)
    return float(np.linalg.norm(shift, axis=-1).mean() / width)


def lips_in_view(shifts: np.ndarray, runs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Confidence that the lips are visible: (N,) in 0..1 from shifts (N,) NaN without a second fit.

    runs: [start, stop) of the intervals with a face. A single outlier does not count; an occlusion found by two
    consecutive fits extends from the fit before to the fit after them.
    """
    view = np.ones(len(shifts))
    for start, stop in runs:
        fits = start + np.flatnonzero(np.isfinite(shifts[start:stop]))
        if len(fits) == 0:
            continue
        seen = np.pad(shifts[fits], 1, mode="edge")
        steady = np.median(np.stack([seen[:-2], seen[1:-1], seen[2:]]), axis=0)
        low = np.clip(OWN_SHARE * np.median(steady), STEADY_SHIFT, MOST_STEADY)
        sure = np.clip((GUESSED_SHIFT - steady) / (GUESSED_SHIFT - low), 0, 1)
        spread = np.pad(sure, 1, mode="edge")
        least = np.minimum(np.minimum(spread[:-2], spread[1:-1]), spread[2:])
        view[start:stop] = np.interp(np.arange(start, stop), fits, least)
    return view
