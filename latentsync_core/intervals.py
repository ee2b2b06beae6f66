"""Stretches of a clip in frames and seconds, as people read them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

MOST_LISTED = 8  # stretches in one sentence


@dataclass(frozen=True)
class Stretch:
    """Frames `first` to `last`, inclusive; start and end in seconds, the end being that of the last frame."""

    first: int
    last: int
    start: float
    end: float

    def __str__(self) -> str:
        return f"{clock(self.start)}-{clock(self.end)}"


def stretches_of(mask: Iterable[bool], times: Sequence[Fraction], end: Fraction) -> list[Stretch]:
    """The longest stretches in which `mask` is true. times: seconds of every frame; end: of the last one."""
    edges = np.flatnonzero(np.diff(np.asarray(list(mask), np.int8), prepend=0, append=0)).reshape(-1, 2)
    bounds = [*times, end]
    return [
        Stretch(first, stop - 1, round(float(bounds[first]), 3), round(float(bounds[stop]), 3))
        for first, stop in edges.tolist()
    ]


def listed(found: Sequence[Stretch]) -> str:
    """The stretches as "0:01.2-0:01.9, 0:04.0-0:05.5", the first of many."""
    text = ", ".join(map(str, found[:MOST_LISTED]))
    return text if len(found) <= MOST_LISTED else f"{text} and {len(found) - MOST_LISTED} more"


def clock(seconds: float | Fraction) -> str:
    """Seconds as m:ss.s, with hours from one hour on: 75.26 is "1:15.3"."""
    tenths = round(float(seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest // 10:02}.{rest % 10}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 10:02}.{rest % 10}"
