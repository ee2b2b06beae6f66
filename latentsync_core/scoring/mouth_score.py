"""How a mouth moves and how it is painted: the numbers that need no voice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .measured_face import MeasuredFace
from .picture import border_ratio


@dataclass(frozen=True)
class MouthScore:
    """How the mouth moves and how it is painted.

    opening, opening_range: mean and standard deviation, in eye distances. jitter: trembling of the mouth in the head,
    percent of the eye distance. flicker: mean absolute second difference over time of the redrawn region, grey levels.
    sharpness: its detail over that of the face around it, 1 = as sharp. borders: change into the first frames of
    windows over that into others, 1 = they do not show.
    """

    opening: float
    opening_range: float
    jitter: float
    flicker: float
    sharpness: float
    borders: float


def mouth_score(face: MeasuredFace, borders: Sequence[int]) -> MouthScore:
    """What can be said of a mouth without its voice. borders: first frames of windows."""
    opening, picture = face.shape.opening, face.picture
    return MouthScore(
        opening=mean_known(opening),
        opening_range=float(np.nanstd(opening)) if np.isfinite(opening).any() else float("nan"),
        jitter=face.jitter,
        flicker=mean_known(picture.flickers),
        sharpness=mean_known(picture.sharpness),
        borders=border_ratio(picture.changes, borders),
    )


def mean_known(values: Sequence[float]) -> float:
    """The mean of what is not NaN; NaN where nothing is."""
    values = np.asarray(values, float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
