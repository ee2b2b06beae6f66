"""The callbacks by which a caller watches and stops a long run; the library knows no host."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

OnProgress = Callable[[int, int], None]
"""Called as ``on_progress(done, total)`` by one stage, in its own unit (frames, windows, blocks)."""

OnStageProgress = Callable[[str, int, int], None]
"""Called as ``on_progress(stage, done, total)`` by a run of several stages."""

CheckCancelled = Callable[[], None]
"""Called between units of work; raises whatever the caller wants to see when the run is to stop."""

OnFrame = Callable[[int, Any], None]
"""Called as ``on_frame(index, composited)`` with every output frame and what it was made of."""

OnEstimate = Callable[[Any], None]
"""Called with what a run will take."""


def ignore_progress(done: int, total: int) -> None:
    """Watch nothing: the default where a caller passes no ``on_progress`` of one stage."""


def ignore_stage_progress(stage: str, done: int, total: int) -> None:
    """Watch nothing: the default of a run's ``on_progress``."""


def never_cancelled() -> None:
    """Never stop: the default where a caller passes no ``check_cancelled``."""


def ignore_frame(index: int, frame: Any) -> None:
    """Watch no frames: the default of ``on_frame``."""


@dataclass(frozen=True)
class Callbacks:
    """What a run calls while it works; each does nothing by default.

    on_progress: (stage, done, total), when a stage begins or goes on, with what is done already, and after each unit
    of its work. total is an estimate until the work is known, 0 where there is none to give.
    check_cancelled: several times a second; whatever it raises ends the run.
    on_frame: (output frame, composite.Composited), as it is written.
    on_estimate: (estimate.Estimate), before the run starts and again once the face is tracked; only where it is given
    are the few frames spent on which that is measured.
    """

    on_progress: OnStageProgress = ignore_stage_progress
    check_cancelled: CheckCancelled = never_cancelled
    on_frame: OnFrame = ignore_frame
    on_estimate: OnEstimate | None = None

    def progress(self, stage: str) -> OnProgress:
        """``on_progress(done, total)`` of one stage, for a function that does not know which it is."""
        return partial(self.on_progress, stage)
