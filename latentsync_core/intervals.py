"""Intervals of a clip: where a mask is true, in frames, and in seconds as people read them."""

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


def runs_of(mask: Iterable[bool], breaks: Iterable[int] = ()) -> list[tuple[int, int]]:
    """The longest runs [start, stop) of a mask (N,) in which it is true throughout, split before every one of `breaks`.

    A break where the mask is false, or beyond its ends, splits nothing.
    """
    values = np.asarray(mask if isinstance(mask, np.ndarray) else list(mask), bool)
    edges = np.flatnonzero(np.diff(values, prepend=False, append=False))
    inside = [place for place in set(breaks) if 0 < place < len(values) and values[place - 1] and values[place]]
    bounds = np.sort(np.concatenate([edges, np.repeat(inside, 2)]).astype(int))
    return [(start, stop) for start, stop in bounds.reshape(-1, 2).tolist()]


def stretches_of(mask: Iterable[bool], times: Sequence[Fraction], end: Fraction) -> list[Stretch]:
    """The longest stretches in which `mask` is true. times: seconds of every frame; end: of the last one."""
    bounds = [*times, end]
    return [
        Stretch(first, stop - 1, round(float(bounds[first]), 3), round(float(bounds[stop]), 3))
        for first, stop in runs_of(mask)
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
