"""The two callables by which a caller watches and stops a long stage; the library knows no host."""

from collections.abc import Callable

OnProgress = Callable[[int, int], None]
"""Called as ``on_progress(done, total)`` in the stage's own unit (frames, windows, blocks)."""

CheckCancelled = Callable[[], None]
"""Called between units of work; raises whatever the caller wants to see when the run is to stop."""


def ignore_progress(done: int, total: int) -> None:
    """Watch nothing: the default where a caller passes no ``on_progress``."""


def never_cancelled() -> None:
    """Never stop: the default where a caller passes no ``check_cancelled``."""
