"""Work is divided evenly over workers, never more of it than there are workers, and they end when the caller does."""

import os
import signal
import threading
import time

import pytest

from latentsync_core.cluster.placement import Needs, place_workers
from latentsync_core.cluster.spread import Lost, Workers
from latentsync_core.progress import never_cancelled

pytestmark = pytest.mark.long

NAP_SECONDS = 0.5
ITEMS = 16
LEAST_EFFICIENCY = 0.9
DEADLY = 3


class Sleeper:
    """Sleeps instead of computing."""

    def __init__(self) -> None:
        self._card = threading.Lock()

    def ready(self) -> bool:
        return True

    def nap(self, item: int) -> tuple[int, int, float, float]:
        """(item, process, when it began, when it ended)."""
        begun = time.monotonic()
        time.sleep(NAP_SECONDS)
        return item, os.getpid(), begun, time.monotonic()

    def two_stages(self, item: int) -> tuple[int, int, float, float]:
        """As `nap`, of an item that is read for as long, and then has the card to itself."""
        time.sleep(NAP_SECONDS)
        with self._card:
            return self.nap(item)

    def dies_of(self, item: int) -> int:
        """The item, unless it is deadly."""
        time.sleep(NAP_SECONDS / 5)
        if item == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        return item


def pool_of(ray, workers: int, hands: int = 1) -> Workers:
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Workers(ray, Sleeper, place_workers(Needs("auto", workers), machines, "cpu"), hands=hands)


def naps(ray, workers: int) -> list[tuple[int, int, float, float]]:
    """ITEMS naps on so many workers, each of which took some."""
    pool = pool_of(ray, workers)
    told = [nap for _, nap in pool.spread(range(ITEMS), lambda actor, item: actor.nap.remote(item), never_cancelled)]
    assert sorted(nap[0] for nap in told) == list(range(ITEMS)) and len({nap[1] for nap in told}) == workers
    return told


def efficiency(told: list[tuple[int, int, float, float]], workers: int) -> float:
    """Share of the workers' time that they slept, from when all are at work until there is no more for all."""
    first = {}
    for _, process, begun, _ in told:
        first[process] = min(begun, first.get(process, begun))
    start, stop = max(first.values()), sorted(nap[3] for nap in told)[-workers]
    slept = sum(max(0.0, min(ended, stop) - max(begun, start)) for _, _, begun, ended in told)
    return slept / (workers * (stop - start))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_are_kept_busy(machines, workers):
    import ray

    machines(workers)
    told = naps(ray, workers)
    events = sorted([(begun, 1) for _, _, begun, _ in told] + [(ended, -1) for *_, ended in told])
    most = at_once = 0
    for _, change in events:
        at_once += change
        most = max(most, at_once)
    assert most <= workers
    assert efficiency(told, workers) >= LEAST_EFFICIENCY


@pytest.mark.parametrize("workers", [1, 2])
def test_with_two_hands_the_card_does_not_wait_while_the_next_item_is_read(machines, workers):
    import ray

    machines(workers)
    pool, items = pool_of(ray, workers, hands=2), range(8)
    told = [t for _, t in pool.spread(items, lambda actor, item: actor.two_stages.remote(item), never_cancelled)]
    assert sorted(nap[0] for nap in told) == list(items) and len({nap[1] for nap in told}) == workers
    assert efficiency(told, workers) >= LEAST_EFFICIENCY, "one hand comes to 0.5"


def test_an_item_that_ends_workers_takes_no_other_along(machines):
    import ray

    machines(1)
    pool = pool_of(ray, 1, hands=2)
    told = dict(pool.spread(range(6), lambda actor, item: actor.dies_of.remote(item), never_cancelled))
    assert told == {**{item: item for item in range(6)}, DEADLY: Lost(3)}
