"""From the lips that were filmed to the lips of another mouth: first brought to rest, then parted as asked."""

from dataclasses import dataclass, fields, replace

import numpy as np

from .lips import PLACES, Lips

NARROWEST, WIDEST = 0.72, 1.3  # of the filmed mouth's width
LIPS_MEET = 0.25  # of a filmed gap, from its upper edge: where these lips meet when they shut
UPPER_SHARE = 0.12  # of a new gap, by which the upper lip rises; the lower one drops by the rest
PARTING = 0.88  # share of the mouth's width that parts
GAP_SHAPE = np.clip(1 - (PLACES / PARTING) ** 2, 0, 1) ** 0.5  # of the gap in the middle, from corner to corner
ARC_OPENING = 0.12  # eye distances, from which on the lower lip's edge is a plain arc


@dataclass(frozen=True)
class Mouth:
    """A mouth that a face shall have: the gap between the lips and the width, in eye distances.

    strength: share of the way from the filmed mouth to this one, 0..1.
    """

    opening: float
    width: float
    strength: float = 1.0


def reshaped(lips: Lips, mouth: Mouth) -> Lips:
    """Lips as filmed, with another mouth. Each corner, edge and line keeps its own shape as far as it can."""
    scale = float(np.clip(mouth.width / max(lips.width, 1e-6), NARROWEST, WIDEST))
    centre = lips.corners[:, 0].mean()
    corners = lips.corners.copy()
    corners[:, 0] = centre + scale * (corners[:, 0] - centre)
    line = resting_line(lips)
    gap = mouth.opening * GAP_SHAPE
    upper, lower = line - UPPER_SHARE * gap, arched(line, mouth.opening) + (1 - UPPER_SHARE) * gap
    wanted = replace(lips, corners=corners, upper=upper, lower=np.maximum(upper, lower))
    return wanted if mouth.strength == 1 else between(lips, wanted, mouth.strength)


def resting_line(lips: Lips) -> np.ndarray:
    """v of the line along which filmed lips meet when they shut: (SAMPLES,)."""
    return lips.upper + LIPS_MEET * (lips.lower - lips.upper)


def arched(line: np.ndarray, opening: float) -> np.ndarray:
    """The line of the lips as the lower one follows it: the bow of the upper lip is lost as the mouth opens."""
    arc = np.polynomial.Polynomial.fit(PLACES, line, 2)(PLACES)
    return line + min(1.0, opening / ARC_OPENING) * (arc - line) * (GAP_SHAPE > 0)


def between(lips: Lips, wanted: Lips, share: float) -> Lips:
    """Lips a share of the way from one shape to another."""
    values = ((1 - share) * getattr(lips, f.name) + share * getattr(wanted, f.name) for f in fields(Lips))
    return Lips(*values)
