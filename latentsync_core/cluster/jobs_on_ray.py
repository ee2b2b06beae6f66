"""The jobs of a batch on the workers of a cluster: each reads its files and writes its result by the same paths."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from types import ModuleType
from typing import Any

from ..progress import Callbacks, CheckCancelled
from .connection import connected
from .job import Job
from .placement import Needs, place_workers
from .run_job import OnShare, Outcome, WarmGenerator, by_choice, failed, ignore_share, run_job, written_share
from .spread import Lost, Workers

WATCH_SECONDS = 1.0  # between two questions how far workers are


class JobWorker:
    """A process of the cluster that runs one job after the other on models that stay loaded."""

    def __init__(self) -> None:
        self._warm = WarmGenerator()
        self._share = 0.0

    def ready(self) -> bool:
        """That the process has come up."""
        return True

    def run(self, job: Job) -> Outcome:
        """Run a job whose folder this machine can write."""
        self._share = 0.0
        return run_job(job, self._warm, Callbacks(on_progress=written_share(self._tell)))

    def share(self) -> float:
        """How much of its job is done, 0 to 1; asked while `run` is at work."""
        return self._share

    def _tell(self, share: float) -> None:
        self._share = share


class Watch:
    """Asks workers now and then how far they are, and tells what that comes to: clips, such as 1.6 of two under way.

    Nobody waits for the answers: they are told when the next ones are asked for.
    """

    def __init__(self, ray: ModuleType, workers: Workers, on_share: OnShare):
        self._ray, self._workers, self._on_share = ray, workers, on_share
        self._asked: dict[Any, int] = {}  # reference to an answer -> line of its job
        self._next = 0.0

    def look(self) -> None:
        """Ask if it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + WATCH_SECONDS
        asked, under_way = list(self._asked), self._workers.under_way()
        ready, _ = self._ray.wait(asked, num_returns=len(asked), timeout=0) if asked else ([], [])
        at_work, shares = {line for _, line in under_way}, []
        for answer in ready:
            with suppress(self._ray.exceptions.RayActorError):  # `Workers` tells of a worker that is lost
                shares.append(self._ray.get(answer) if self._asked[answer] in at_work else 0.0)
        if shares:
            self._on_share(sum(shares))
        self._asked = {actor.share.remote(): line for actor, line in under_way}


def run_jobs_on_ray(
    jobs: Sequence[Job], needs: Needs, check_cancelled: CheckCancelled, on_share: OnShare = ignore_share
) -> Iterator[Outcome]:
    """Run `jobs` on a cluster; outcomes come as they end.

    A job whose worker is lost is gone on with by another, from its last finished segment. Jobs of one choice of models
    are begun together, so that few workers have to load another. on_share: see `Watch`. Raises LatentSyncError where
    there is no cluster, or no room in it.
    """
    if not jobs:
        return
    with connected(needs.address) as ray:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        placement = place_workers(needs, machines, jobs[0].choice.device)
        by_line = {job.line: job for job in by_choice(jobs)}
        workers = Workers(ray, JobWorker, placement, threads=2)  # a job, and the answer how far it is
        watch = Watch(ray, workers, on_share)

        def begin(actor: Any, line: int) -> Any:
            job = by_line[line]
            by_line[line] = replace(job, settings=replace(job.settings, overwrite=False))  # if this worker is lost
            return actor.run.remote(job)

        def between() -> None:
            check_cancelled()
            watch.look()

        for line, ended in workers.spread(list(by_line), begin, between):
            yield failed(by_line[line], str(ended)) if isinstance(ended, Lost) else ended
