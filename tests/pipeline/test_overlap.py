"""Stages that overlap: in order, one result ahead and no more, and no thread survives however a run ends."""

import threading
import time

import pytest

from latentsync_core.pipeline.overlap import Cancellation, StoppedError, ahead
from latentsync_core.progress import Callbacks, never_cancelled

SLEEP = 0.05  # seconds of work of a stage on one result


class StopError(Exception):
    """What a test raises."""


@pytest.fixture(autouse=True)
def no_thread_survives():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def slow(results, cancellation: Cancellation, failing: int | None = None):
    """The results, each after some work that looks at the cancellation, or an error in place of one."""
    for result in results:
        for _ in range(5):
            time.sleep(SLEEP / 5)
            cancellation.check()
        if result == failing:
            raise StopError
        yield result


@pytest.mark.parametrize("enabled", [True, False])
def test_two_stages_give_every_result_in_order(enabled):
    cancellation = Cancellation(never_cancelled)
    with (
        ahead(slow(range(6), cancellation), cancellation, enabled) as first,
        ahead(slow(first, cancellation), cancellation, enabled) as second,
    ):
        assert list(second) == list(range(6))


def test_one_result_more_is_computed_than_is_taken():
    cancellation, computed = Cancellation(never_cancelled), []

    def results():
        for number in range(9):
            computed.append(number)
            yield number

    with ahead(results(), cancellation) as taken:
        for number in taken:
            time.sleep(SLEEP)
            assert computed[-1] == min(number + 1, 8)


@pytest.mark.parametrize("stage", ["first", "second", "last"])
def test_an_error_of_any_stage_ends_all_and_comes_after_the_results_before_it(stage):
    cancellation, seen = Cancellation(never_cancelled), []
    failing = {name: 2 if name == stage else None for name in ("first", "second", "last")}
    with pytest.raises(StopError):
        with (
            ahead(slow(range(100), cancellation, failing["first"]), cancellation) as first,
            ahead(slow(first, cancellation, failing["second"]), cancellation) as second,
        ):
            for number in slow(second, cancellation, failing["last"]):
                seen.append(number)
    assert seen == [0, 1]
    assert cancellation.is_stopped


def test_a_cancelled_run_stops_every_stage_at_once():
    cancelled = threading.Event()

    def check() -> None:
        if cancelled.is_set():
            raise StopError

    cancellation = Cancellation(check)
    with pytest.raises(StopError):
        with ahead(slow(range(1000), cancellation), cancellation) as results:
            for number in results:
                if number == 2:
                    cancelled.set()
    with pytest.raises(StopError):
        cancellation.check()


def test_a_stage_whose_results_are_not_wanted_any_more_is_stopped():
    cancellation, begun = Cancellation(never_cancelled), time.monotonic()
    with ahead(slow(range(1000), cancellation), cancellation) as results:
        assert next(results) == 0
    assert time.monotonic() - begun < 1000 * SLEEP / 5
    with pytest.raises(StoppedError):
        cancellation.check()


def test_progress_is_told_by_one_thread_at_a_time():
    inside, most = [], []

    def on_progress(stage: str, done: int, total: int) -> None:
        inside.append(stage)
        time.sleep(0.01)
        most.append(len(inside))
        inside.pop()

    cancellation = Cancellation(never_cancelled)
    shared = cancellation.shared(Callbacks(on_progress=on_progress))
    threads = [threading.Thread(target=shared.on_progress, args=("sample", 0, 1)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
