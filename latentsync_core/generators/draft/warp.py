"""How lips, jaw and chin move: for every pixel of a redrawn face, from where in the filmed one it is taken.

A displacement (du, dv) in eye distances on the face's plane. It is smooth on either side of the line between the lips,
differs across it by the gap, and is zero at the nose, at the cheeks, on the neck and beyond.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .lips import PLACES, SAMPLES, TAPER, Lips

REACH = 0.95  # eye distances to either side of the mouth's middle, where all motion has faded
NECK = 0.50  # eye distances below the chin, where it has
BELOW_CHIN = 0.55  # eye distances below the chin, that can change
CHEEK_INNER, CHEEK = 0.6, 2.3  # half widths of the mouth, from where to where its change in width fades
LIP_SIDE = 1 / 1.2  # of the way from the chin up to the lips, where that change is whole
JAW_SHARE = 0.6  # of the lower lip's drop, that the chin makes
JAW_INNER = 0.35  # eye distances from the middle, up to which the jaw moves as the chin does
JAW_ABOVE = 0.15  # eye distances above the line of the lips, where the jaw's motion begins
LIP_REACH = 0.38  # eye distances below the lower lip's edge, over which its own motion passes into the chin's
CORNER = 1.7  # half widths of the mouth, where the motion of its corners has faded
UPPER_INSET, LOWER_INSET = 0.016, 0.02  # eye distances that a mesh may lie beside the edges of parted lips
# A wide open mouth is rounder beside its corners than a mesh: eye distances more there when it is closed by so much.
CORNER_INSET, CLOSING = 0.05, 0.2
BESIDE_CORNERS = 4 * (PLACES**4 - PLACES**8)  # 1 between middle and corners, near these
SEAM_INSET = 0.008  # eye distances beside the line of shut lips, that is dark
PARTED = 0.05  # eye distances of a gap, from which on lips are wholly parted


@dataclass(frozen=True, eq=False)
class Motion:
    """What the pixels of a window are taken from, and where they lie between the lips: (h, w) float32 each.

    du, dv: added to a pixel's (u, v), where it is taken from; over, under: the same as dv if it belonged to what is
    above or below the line between the lips. place: -1 .. 1 from corner to corner. below_upper, above_lower: distance
    to the wanted lips' edges, positive between them. All in eye distances but for place.
    """

    du: Tensor
    over: Tensor
    under: Tensor
    place: Tensor
    below_upper: Tensor
    above_lower: Tensor

    @property
    def dv(self) -> Tensor:
        return torch.where(self.below_upper < self.above_lower, self.over, self.under)


def smooth_step(x: Tensor) -> Tensor:
    """0 up to 0, 1 from 1 on, a cubic with continuous slope between them."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def motion(u: Tensor, v: Tensor, filmed: Lips, wanted: Lips, strength: float) -> Motion:
    """From the lips filmed to those wanted, at the points (u, v) of the face's plane.

    strength: 0..1, how far filmed lips are taken from beside their edges.
    """
    place = (u - wanted.corners[:, 0].mean()) / (wanted.width / 2)
    upper, lower, rise, fall, upper_inset, lower_inset = along(edge_tables(filmed, wanted, strength), place)
    jaw = Jaw.between(filmed, wanted)
    jaw_here = jaw.at(u, v)
    corner = smooth_step((CORNER - place.abs()) / (CORNER - 1))
    above = smooth_step((v - wanted.nose) / (upper - wanted.nose).clamp(min=1e-3))
    below = smooth_step((lower + LIP_REACH - v) / LIP_REACH)
    over = jaw_here + corner * (rise - jaw.at(u, upper)) * above
    under = jaw_here + corner * (fall - jaw.at(u, lower)) * below
    # within the lips themselves, so that they stay as full as they are
    over = over - upper_inset * smooth_step(1 - (upper - v) / wanted.upper_lip)
    under = under + lower_inset * smooth_step(1 - (v - lower) / wanted.lower_lip)
    return Motion(sideways(u, v, filmed, wanted, place), over, under, place, v - upper, lower - v)


@dataclass(frozen=True)
class Jaw:
    """The jaw's own part of the motion: drop, added to v at the chin; centre u, line and chin v of the wanted face."""

    drop: float
    centre: float
    line: float
    chin: float

    @classmethod
    def between(cls, filmed: Lips, wanted: Lips) -> "Jaw":
        """Of two mouths: the chin follows the lower lip."""
        drop = JAW_SHARE * (filmed.opening - wanted.opening)
        centre, line = wanted.corners.mean(0).tolist()
        return cls(drop, centre, line, wanted.chin - drop)

    def at(self, u: Tensor, v: Tensor) -> Tensor:
        """What it adds to v: nothing above the lips, the drop at the chin, nothing on the neck and the cheeks."""
        aside = smooth_step((REACH - (u - self.centre).abs()) / (REACH - JAW_INNER))
        down = smooth_step((v - self.line + JAW_ABOVE) / (self.chin - self.line + JAW_ABOVE))
        return self.drop * aside * down * smooth_step((self.chin + NECK - v) / NECK)


def sideways(u: Tensor, v: Tensor, filmed: Lips, wanted: Lips, place: Tensor) -> Tensor:
    """What a mouth of another width adds to u: most at its corners, nothing at the nose, the chin and the cheeks."""
    centre, line = wanted.corners.mean(0).tolist()
    share = smooth_step((CHEEK - place.abs()) / (CHEEK - CHEEK_INNER))
    share = share * smooth_step((v - wanted.nose) / (line - wanted.nose))
    share = share * smooth_step((wanted.chin - v) / (LIP_SIDE * (wanted.chin - line)))
    return (u - centre) * (filmed.width / wanted.width - 1) * share


def edge_tables(filmed: Lips, wanted: Lips, strength: float) -> Tensor:
    """v of the wanted edges, what is added to v there, and the insets of both: (SAMPLES, 6)."""
    change = min(1.0, abs(filmed.opening - wanted.opening) / PARTED)
    parted = np.clip((filmed.lower - filmed.upper) / PARTED, 0, 1) * strength
    closing = float(np.clip((filmed.opening - wanted.opening) / CLOSING, 0, 1)) * strength
    seam = SEAM_INSET * change * TAPER
    upper = np.maximum(UPPER_INSET * parted, seam)
    lower = np.maximum(LOWER_INSET * parted, seam) + CORNER_INSET * closing * BESIDE_CORNERS
    tables = (wanted.upper, wanted.lower, filmed.upper - wanted.upper, filmed.lower - wanted.lower, upper, lower)
    return torch.from_numpy(np.stack(tables, 1)).float()


def along(tables: Tensor, place: Tensor) -> Tensor:
    """Tables (SAMPLES, k) at places (h, w) in -1 .. 1, their ends beyond: (k, h, w)."""
    position = (place.clamp(-1, 1) + 1) * ((SAMPLES - 1) / 2)
    low = position.long().clamp_(max=SAMPLES - 2)
    steps = tables[1:] - tables[:-1]
    found = torch.addcmul(tables[low], steps[low], (position - low)[..., None])
    return found.permute(2, 0, 1)
