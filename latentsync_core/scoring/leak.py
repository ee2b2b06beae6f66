"""How much a dubbed mouth still follows what the source's mouth says: the leak of a source into its dub.

A generator sees the frames it redraws; where its mask hides the mouth badly, or the cheeks and the chin give it away,
the old speech shines through. Give a talking source a silent voice, or one that says something else: what is left of
the source's own motion has leaked.
"""

from dataclasses import dataclass

import numpy as np

from ..faces.mouth_opening import correlation

LEAST_FRAMES = 25  # in which both curves are known; fewer tell nothing
LEAST_SHIFT_FRAMES = 8  # a smaller shift is still the same syllable
CHANCE_QUANTILE = 0.95


@dataclass(frozen=True)
class Leak:
    """slope: by how much the dubbed mouth opens for each unit that the source's opens: 0 nothing, 1 all of it leaks.

    correlation: of the two openings, -1 to 1. by_chance: the correlation that unrelated moments of these two curves
    stay below in 95 of 100 cases; a smaller one shows no leak. frames: how many were compared.
    NaN where fewer than 25 frames are known, or a curve is constant; the slope under a still mouth is 0.
    """

    slope: float
    correlation: float
    by_chance: float
    frames: int

    def to_dict(self) -> dict:
        """For JSON, which has no NaN."""
        values = {"slope": self.slope, "correlation": self.correlation, "by_chance": self.by_chance}
        rounded = {name: None if np.isnan(value) else round(value, 4) for name, value in values.items()}
        return {**rounded, "frames": self.frames}


def leak(opening: np.ndarray, source_opening: np.ndarray) -> Leak:
    """Measure the leak of a source dubbed with silence, or with a voice that says something else.

    Args:
        opening: (N,) of the dubbed clip in eye distances, NaN where there is no face.
        source_opening: (N,) of the source frames that these were made from.
    """
    opening, source = np.asarray(opening, float), np.asarray(source_opening, float)
    if opening.shape != source.shape:
        raise ValueError(f"{len(opening)} frames were dubbed from {len(source)}")
    known = ~(np.isnan(opening) | np.isnan(source))
    opening, source = opening[known], source[known]
    if len(source) < LEAST_FRAMES or source.std() == 0:
        return Leak(float("nan"), float("nan"), float("nan"), len(source))
    return Leak(
        slope=float(np.cov(opening, source, bias=True)[0, 1] / source.var()),
        correlation=correlation(opening, source),
        by_chance=chance_correlation(opening, source),
        frames=len(source),
    )


def chance_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """The 95th percentile of the correlation of two curves (N,) over circular shifts of one by 8 frames and more.

    Shifting keeps the rhythm of both, which a bound from the number of frames alone would ignore.
    """
    shifts = range(LEAST_SHIFT_FRAMES, len(first) - LEAST_SHIFT_FRAMES + 1)
    found = np.array([correlation(np.roll(first, shift), second) for shift in shifts])
    found = found[~np.isnan(found)]
    return float(np.quantile(found, CHANCE_QUANTILE)) if len(found) else float("nan")
