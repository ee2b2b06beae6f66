"""Threads that pass several stages in the order of their arrival, one at a time in each."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Turns:
    """stages: in the order in which everyone passes them."""

    def __init__(self, stages: Sequence[str]):
        self._condition = threading.Condition()
        self._passed = dict.fromkeys(stages, 0)  # turns that have left a stage, or gone by
        self._given = 0

    def take(self) -> int:
        """A turn, after those that were given before. It is to be given back by `leave`."""
        with self._condition:
            self._given += 1
            return self._given - 1

    @contextmanager
    def at(self, stage: str, turn: int) -> Iterator[None]:
        """Be alone in a stage, once all earlier turns have left it."""
        self.wait_for_earlier(stage, turn)
        try:
            yield
        finally:
            self._pass(stage, turn)

    def wait_for_earlier(self, stage: str, turn: int) -> None:
        """Wait until all turns before `turn` have left a stage."""
        with self._condition:
            self._condition.wait_for(lambda: self._passed[stage] >= turn)

    def leave(self, turn: int) -> None:
        """Go by all stages that the turn has not come to."""
        for stage in self._passed:
            self.wait_for_earlier(stage, turn)
            self._pass(stage, turn)

    def _pass(self, stage: str, turn: int) -> None:
        with self._condition:
            self._passed[stage] = max(self._passed[stage], turn + 1)
            self._condition.notify_all()
