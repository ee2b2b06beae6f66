"""The appearance of a face in a few numbers: enough to distinguish the people of one clip, no face recognition.

Measured on three people: views of one person in one clip are 0.05 to 0.45 apart, of two people 0.55 to 1.4. Another
camera's colours or a mirrored picture move one person by 0.4 to 0.7, so that they count as another person.
"""

from dataclasses import dataclass

import numpy as np

from ..landmarks import crop_roi, roi_from_mesh
from ..pictures import Picture

VIEW = 48  # pixels: side of the upright view of a face
GRID = 16  # cells per side of its brightness pattern
TINTS = 12  # histogram bins per axis of red's and green's share
TINT_RANGE = ((0.2, 0.7), (0.15, 0.5))  # shares of red and green that skin, hair and clothes have
BLACK = 1e-3  # of full brightness: keeps shares finite
MOST_VIEWS = 12  # kept per person
NEW_DISTANCE = 0.12  # a view that differs less from a known one is not kept


@dataclass(frozen=True)
class Appearance:
    """One view of a face: tints (144,) shares of the pixels by colour, pattern (16, 16) brightness, normalised."""

    tints: np.ndarray
    pattern: np.ndarray

    def distance(self, other: "Appearance") -> float:
        """0 the same, about 0.5 perhaps the same, above 1 another: difference of tints 0..1 + that of patterns 0..2."""
        tints = np.abs(self.tints - other.tints).sum() / 2
        return float(tints + 1 - (self.pattern * other.pattern).mean())


def appearance_of(frame: Picture, mesh: np.ndarray) -> Appearance:
    """The appearance of the face with `mesh` (468, 3) in a frame (H, W, 3) uint8 RGB."""
    view = crop_roi(frame, roi_from_mesh(mesh), VIEW).numpy()  # (3, 48, 48), upright, in 0..1
    shares = view[:2] / (view.sum(0) + BLACK)
    tints = np.histogram2d(*shares.reshape(2, -1), bins=TINTS, range=TINT_RANGE)[0].ravel()
    cell = VIEW // GRID
    pattern = view.mean(0).reshape(GRID, cell, GRID, cell).mean((1, 3))  # (16, 16)
    return Appearance(tints / max(tints.sum(), 1), (pattern - pattern.mean()) / (pattern.std() + BLACK))


class KnownViews:
    """The views of one person so far, few and unlike one another."""

    def __init__(self, first: Appearance):
        self.views = [first]

    def distance(self, view: Appearance) -> float:
        """From `view` to the nearest known one."""
        return min(known.distance(view) for known in self.views)

    def add(self, view: Appearance) -> None:
        """Keep a view that differs from the known ones."""
        if len(self.views) < MOST_VIEWS and self.distance(view) > NEW_DISTANCE:
            self.views.append(view)
