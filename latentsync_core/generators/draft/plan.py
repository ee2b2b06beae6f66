"""Which mouth each output frame of a clip shall have: what the voice asks for, in the range natural to this face."""

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .lips import PLACES, Lips

USUAL_OPENING = 0.22  # eye distances: a wide open mouth where the clip shows none
LEAST_OPENING, MOST_OPENING = 0.20, 0.30
RANGE_PERCENTILE, RANGE_FACTOR = 95, 1.2  # of the filmed openings: what counts as wide open
SHUT = 0.05  # of the predictor's range, below which lips are shut
WIDTH_GAIN, ROUNDING_GAIN, OPENING_GAIN = 0.10, 0.20, 0.10  # of the resting width per unit of a parameter
NARROWEST, WIDEST = 0.72, 1.3  # of the filmed mouth's width
LIPS_MEET = 0.25  # of a filmed gap, from its upper edge: where these lips meet when they shut
ROUND_OPENING = 0.12  # eye distances, from which on the lower lip is a plain arc
UPPER_SHARE = 0.12  # of a new gap, by which the upper lip rises; the lower one drops by the rest
PARTING = 0.88  # share of the mouth's width that parts
GAP_SHAPE = np.clip(1 - (PLACES / PARTING) ** 2, 0, 1) ** 0.5  # of the gap in the middle, from corner to corner


@dataclass(frozen=True)
class MouthRange:
    """What is natural to one face: the gap of a wide open mouth and the width at rest, in eye distances."""

    opening: float
    width: float


@dataclass(frozen=True)
class Mouth:
    """A mouth that a face shall have: the gap between the lips and the width, in eye distances."""

    opening: float
    width: float


def mouth_range(lips: list[Lips]) -> MouthRange:
    """The range of a face over its clip, from the lips of its frames."""
    openings, widths = np.array([each.opening for each in lips]), np.array([each.width for each in lips])
    shown = RANGE_FACTOR * float(np.percentile(openings, RANGE_PERCENTILE))
    still = np.ptp(openings) < LEAST_OPENING / 3
    opening = USUAL_OPENING if still else float(np.clip(shown, LEAST_OPENING, MOST_OPENING))
    return MouthRange(opening, float(np.median(widths[openings <= np.median(openings)])))


def asked_mouths(predicted: np.ndarray, face: MouthRange, blur: float = 0.0) -> list[Mouth]:
    """What the voice asks of a face, frame by frame.

    predicted: (N, 3) opening 0..1, width -1..1, rounding 0..1 of every output frame. blur: standard deviation of the
    smoothing over time in frames.
    """
    if blur:
        predicted = gaussian_filter1d(predicted, blur, axis=0, mode="nearest")
    opening, width, rounding = predicted.T
    gap = np.clip((opening - SHUT) / (1 - SHUT), 0, 1)
    widths = face.width * (1 + WIDTH_GAIN * width - ROUNDING_GAIN * rounding - OPENING_GAIN * gap)
    return [Mouth(float(o), float(w)) for o, w in zip(face.opening * gap, widths, strict=True)]


def reshaped(lips: Lips, mouth: Mouth, strength: float = 1.0) -> Lips:
    """Filmed lips brought to rest, then to the mouth asked for. strength: 0 leaves them as they are."""
    scale = float(np.clip(mouth.width / max(lips.width, 1e-6), NARROWEST, WIDEST))
    centre = lips.corners[:, 0].mean()
    corners = lips.corners.copy()
    corners[:, 0] = centre + scale * (corners[:, 0] - centre)
    line = lips.upper + LIPS_MEET * (lips.lower - lips.upper)
    gap = mouth.opening * GAP_SHAPE
    upper, lower = line - UPPER_SHARE * gap, rounded(line, mouth.opening) + (1 - UPPER_SHARE) * gap
    wanted = replace(lips, corners=corners, upper=upper, lower=np.maximum(upper, lower))
    return wanted if strength == 1 else between(lips, wanted, strength)


def rounded(line: np.ndarray, opening: float) -> np.ndarray:
    """The line of the lips as the lower one follows it: the arch of the upper lip is lost as the mouth opens."""
    arch = np.polynomial.Polynomial.fit(PLACES, line, 2)(PLACES)
    share = min(1.0, opening / ROUND_OPENING)
    return line + share * (arch - line) * (GAP_SHAPE > 0)


def between(lips: Lips, wanted: Lips, strength: float) -> Lips:
    """Lips part of the way from one shape to another."""
    return Lips(
        *(
            (1 - strength) * getattr(lips, name) + strength * getattr(wanted, name)
            for name in [field.name for field in fields(Lips)]
        )
    )
