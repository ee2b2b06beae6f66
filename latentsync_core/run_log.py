"""What is noted while a run lasts and cannot be told from its results: seconds per stage, and warnings."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

log = logging.getLogger(__name__)

LIBRARY = __package__  # also where a host loads the pack under a name of its own


class RunLog:
    """stages: seconds each stage was at work so far, together more than the run where stages overlap. warnings: every
    warning the library logged, in order, once each."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.stages: dict[str, float] = {}
        self.warnings: list[str] = []

    @property
    def seconds(self) -> float:
        """Since the log was begun."""
        return round(time.perf_counter() - self._started, 3)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside under `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = round(self.stages.get(name, 0.0) + time.perf_counter() - started, 3)

    @contextmanager
    def collecting_warnings(self) -> Iterator[None]:
        """Write down every warning the library logs meanwhile, whoever else listens."""
        handler = _WarningList(self)
        library = logging.getLogger(LIBRARY)
        library.addHandler(handler)
        try:
            yield
        finally:
            library.removeHandler(handler)

    def add_warnings(self, warnings: Iterable[str]) -> None:
        """Note warnings, of an earlier run too, that are not noted yet."""
        self.warnings += [warning for warning in warnings if warning not in self.warnings]


class _WarningList(logging.Handler):
    def __init__(self, log: RunLog):
        super().__init__(logging.WARNING)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        self.log.add_warnings([record.getMessage()])


@contextmanager
def noting_warnings() -> Iterator[list[str]]:
    """A list of what the library warns of meanwhile; kept with a result, so that whoever is given that is told too."""
    noted = RunLog()
    with noted.collecting_warnings():
        yield noted.warnings


def repeat(warnings: Sequence[str]) -> None:
    """Log once more what was warned of when a cached result was made."""
    for warning in warnings:
        log.warning("%s", warning)
