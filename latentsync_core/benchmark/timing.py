"""How long calls take: milliseconds by name on any device, and two ways to do the same compared in turn."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch

Result = TypeVar("Result")
MS = 1000.0  # per second


@dataclass(frozen=True)
class StageTiming:
    """Milliseconds per frame that one stage took, a sample per frame or per pass over the same frames."""

    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the samples, ms."""
        return statistics.median(self.samples)

    @property
    def minimum(self) -> float:
        """The fastest sample, ms: the least affected by other processes."""
        return min(self.samples)


@dataclass
class Stopwatch:
    """Collects how long calls take, by name, in ms."""

    samples: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, started: float) -> None:
        """Add the time since `started` (perf_counter seconds)."""
        self.samples.setdefault(name, []).append((time.perf_counter() - started) * MS)

    def call(self, name: str, function: Callable[..., Result], *arguments, **named) -> Result:
        """The function's result, its time noted under `name`."""
        started = time.perf_counter()
        result = function(*arguments, **named)
        self.note(name, started)
        return result

    def timings(self) -> list[StageTiming]:
        """What was collected, in the order in which the names first came."""
        return [StageTiming(name, tuple(samples)) for name, samples in self.samples.items()]


class Duration(NamedTuple):
    """ms that passed, and ms that processors worked for this process, all its threads together.

    On a busy machine the first grows and the second hardly does; of work on a GPU only the first tells.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class PairedTimings:
    """Two ways to do the same, timed in turn: every run of each, and what their last runs returned."""

    ours: tuple[Duration, ...]
    reference: tuple[Duration, ...]
    results: tuple[Any, Any]

    @property
    def ratio(self) -> Duration:
        """Ours to the reference's: the median over pairs of runs, as a busy machine slows both of a pair."""
        pairs = list(zip(self.ours, self.reference, strict=True))
        return Duration(
            wall=statistics.median(ours.wall / reference.wall for ours, reference in pairs),
            cpu=statistics.median(ours.cpu / reference.cpu for ours, reference in pairs),
        )


def alternate(ours: Callable[[], Any], reference: Callable[[], Any], runs: int, device: torch.device) -> PairedTimings:
    """Run both `runs` times in turn, each first in every other pair, so that neither has the warmer caches."""
    samples: tuple[list[Duration], list[Duration]] = ([], [])
    results: list[Any] = [None, None]
    for run in range(runs):
        for side in (0, 1) if run % 2 == 0 else (1, 0):
            results[side], duration = timed((ours, reference)[side], device)
            samples[side].append(duration)
    return PairedTimings(tuple(samples[0]), tuple(samples[1]), (results[0], results[1]))


def timed(work: Callable[[], Result], device: torch.device) -> tuple[Result, Duration]:
    """What `work` returns, and how long it took until the device had done all of it."""
    synchronize(device)
    started, worked = time.perf_counter(), time.process_time()
    result = work()
    synchronize(device)
    return result, Duration((time.perf_counter() - started) * MS, (time.process_time() - worked) * MS)


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done what it was told: a GPU is told faster than it works."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
