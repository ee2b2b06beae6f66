"""Stages that work at the same time: each computes its next result on a thread of its own while the last is in use."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from ..progress import Callbacks, CheckCancelled

T = TypeVar("T")

WAIT_SECONDS = 0.2  # between two looks at whether the run is cancelled, while a stage waits for the one before


class StoppedError(Exception):
    """Another stage has ended the run; this one need not go on."""


@dataclass(frozen=True)
class Failure:
    """What ended a stage: an error, or None where its results are complete."""

    error: BaseException | None


class Cancellation:
    """One check for several threads: what the caller's check raises in one of them, it raises in all.

    check_cancelled: the caller's; never called by two threads at once.
    """

    def __init__(self, check_cancelled: CheckCancelled):
        self._check = check_cancelled
        self._lock = threading.Lock()
        self._reason: BaseException | None = None

    def check(self) -> None:
        """Raise what the caller's check raises or has raised, or StoppedError after `stop`."""
        with self._lock:
            if self._reason is None:
                try:
                    self._check()
                except BaseException as error:
                    self._reason = error
        if self._reason is not None:
            raise self._reason

    def stop(self) -> None:
        """End the work of all threads that check."""
        with self._lock:
            self._reason = self._reason or StoppedError()

    @property
    def is_stopped(self) -> bool:
        """Whether the run has been cancelled or stopped."""
        return self._reason is not None

    def shared(self, callbacks: Callbacks) -> Callbacks:
        """`callbacks` for several threads: with this check, and progress told by one thread at a time."""
        lock = threading.Lock()

        def on_progress(stage: str, done: int, total: int) -> None:
            with lock:
                callbacks.on_progress(stage, done, total)

        return replace(callbacks, on_progress=on_progress, check_cancelled=self.check)


@contextmanager
def ahead(results: Iterator[T], cancellation: Cancellation, enabled: bool = True) -> Iterator[Iterator[T]]:
    """Compute the `results` of a stage on a thread of its own, at most one more than has been taken.

    An error of the stage is raised where its next result is asked for, after those before it. Leaving the context
    stops the stage at its next check of `cancellation` and waits for its thread.
    enabled: False computes each result when it is asked for, on the caller's thread.
    """
    if not enabled:
        yield results
        return
    wanted: threading.Semaphore = threading.Semaphore(0)  # results that may be computed now
    ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
    thread = threading.Thread(target=compute, args=(results, wanted, ready, cancellation), daemon=True)
    thread.start()
    try:
        yield taken(wanted, ready, cancellation)
    finally:
        cancellation.stop()
        wanted.release()
        thread.join()


def compute(
    results: Iterator[T], wanted: threading.Semaphore, ready: queue.SimpleQueue, cancellation: Cancellation
) -> None:
    """The thread of a stage: the first result, one more each time one is wanted, and at the end a Failure."""
    ended: BaseException | None = None
    try:
        for result in results:
            ready.put(result)
            del result  # it is the taker's now, and large
            wanted.acquire()
            if cancellation.is_stopped:
                break
    except BaseException as error:
        ended = error
    ready.put(Failure(ended))


def taken(wanted: threading.Semaphore, ready: queue.SimpleQueue, cancellation: Cancellation) -> Iterator[Any]:
    """The results of a stage in order; the next one is computed from when one is taken."""
    while True:
        try:
            result = ready.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            cancellation.check()
            continue
        if isinstance(result, Failure):
            if result.error is not None:
                raise result.error
            cancellation.check()  # a stage that was stopped is not complete
            return
        wanted.release()
        yield result
        del result


def overlap_pays(device: torch.device) -> bool:
    """Whether stages are to overlap: where a device denoises beside the processor.

    On a processor alone all stages want the same cores: measured with the embedded model on two, 0.99 of the speed.
    """
    return device.type != "cpu"
