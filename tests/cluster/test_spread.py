"""Work is divided evenly over workers, never more of it than there are workers, and they end when the caller does."""

import os
import time

import pytest

from latentsync_core.cluster.placement import Needs, place_workers
from latentsync_core.cluster.spread import Workers
from latentsync_core.progress import never_cancelled

pytestmark = pytest.mark.long

NAP_SECONDS = 0.5
ITEMS = 16
LEAST_EFFICIENCY = 0.9


class Sleeper:
    """Sleeps instead of computing."""

    def ready(self) -> bool:
        return True

    def nap(self, item: int) -> tuple[int, int, float, float]:
        """(item, process, when it began, when it ended)."""
        begun = time.monotonic()
        time.sleep(NAP_SECONDS)
        return item, os.getpid(), begun, time.monotonic()


def naps(ray, workers: int) -> list[tuple[int, int, float, float]]:
    """ITEMS naps on so many workers, each of which took some."""
    placement = place_workers(
        Needs("auto", workers), [node["Resources"] for node in ray.nodes() if node["Alive"]], "cpu"
    )
    pool = Workers(ray, Sleeper, placement)
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
