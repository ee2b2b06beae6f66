"""The jobs of a batch on the workers of a cluster: each reads its files and writes its result by the same paths."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..progress import Callbacks, CheckCancelled
from .connection import connected
from .job import Job
from .placement import Needs, place_workers
from .run_job import Outcome, WarmGenerator, by_choice, failed, run_job
from .spread import Lost, Workers


class JobWorker:
    """A process of the cluster that runs one job after the other on models that stay loaded."""

    def __init__(self) -> None:
        self._warm = WarmGenerator()

    def ready(self) -> bool:
        """That the process has come up."""
        return True

    def run(self, job: Job) -> Outcome:
        """Run a job whose folder this machine can write."""
        return run_job(job, self._warm, Callbacks())


def run_jobs_on_ray(jobs: Sequence[Job], needs: Needs, check_cancelled: CheckCancelled) -> Iterator[Outcome]:
    """Run `jobs` on a cluster; outcomes come as they end.

    A job whose worker is lost is gone on with by another, from its last finished segment. Jobs of one choice of models
    are begun together, so that few workers have to load another. Raises LatentSyncError where there is no cluster, or
    no room in it.
    """
    if not jobs:
        return
    with connected(needs.address) as ray:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        placement = place_workers(needs, machines, jobs[0].choice.device)
        by_line = {job.line: job for job in by_choice(jobs)}
        workers = Workers(ray, JobWorker, placement)

        def begin(actor: Any, line: int) -> Any:
            job = by_line[line]
            by_line[line] = replace(job, settings=replace(job.settings, overwrite=False))  # if this worker is lost
            return actor.run.remote(job)

        for line, ended in workers.spread(list(by_line), begin, check_cancelled):
            yield failed(by_line[line], str(ended)) if isinstance(ended, Lost) else ended
