"""Run the jobs of a batch in one process whose models stay loaded; one that fails says why and stops nobody."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import LatentSyncError
from ..file_names import valid_text
from ..generators.choice import GeneratorChoice
from ..generators.generator import Generator
from ..pipeline.lipsync import lipsync
from ..progress import Callbacks, OnStageProgress
from ..scoring.run_score import RunScore
from ..settings import Settings
from .input_source import local_file
from .job import Job, JobState

log = logging.getLogger(__name__)

OnShare = Callable[[float], None]
"""Called with how much is done of the jobs under way, in jobs: 0.4 of one, 1.6 of two."""


def ignore_share(share: float) -> None:
    """Watch nothing: the default of ``on_share``."""


def written_share(on_share: OnShare) -> OnStageProgress:
    """``on_progress`` of a run that passes on the share of its frames that are written."""

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage == "write" and total:
            on_share(done / total)

    return on_progress


@dataclass(frozen=True)
class Outcome:
    """How a job ended: state "done", "already done" or "failed"; report: as JSON knows it; error: why it failed."""

    job: Job
    state: str
    report: dict[str, Any]
    error: str = ""

    @classmethod
    def kept(cls, job: Job) -> "Outcome":
        """That of a job whose result an earlier batch has made."""
        return cls(job, "already done", job.earlier_report() or {})


class WarmGenerator:
    """The generator that was used last, kept loaded for the next job that asks for the same one."""

    def __init__(self) -> None:
        self._choice: GeneratorChoice | None = None
        self._generator: Generator | None = None
        self._loaded_in: dict[str, str] = {}

    def load(self, choice: GeneratorChoice, settings: Settings) -> Generator:
        """The generator of `choice`, in the precision that it is loaded in; another one is given up before.

        An earlier clip may have left half precision for good; the next one is not to depend on it.
        """
        generator = self._generator
        if generator is None or choice != self._choice or not self.is_as_loaded():
            self._generator = generator = None  # or two would be in memory
            self._generator = generator = choice.load(settings)
            self._choice, self._loaded_in = choice, generator.precisions()
        return generator

    def is_as_loaded(self) -> bool:
        """Whether a generator is loaded whose networks have kept their precision."""
        return self._generator is not None and self._generator.precisions() == self._loaded_in


def run_jobs(jobs: Sequence[Job], on_share: OnShare = ignore_share) -> Iterator[Outcome]:
    """Run `jobs` one after the other in this process, those of one choice of models together."""
    warm, callbacks = WarmGenerator(), Callbacks(on_progress=written_share(on_share))
    for job in by_choice(jobs):
        yield run_job(job, warm, callbacks)


def by_choice(jobs: Iterable[Job]) -> list[Job]:
    """`jobs` so ordered that no choice of models comes twice; otherwise as they came."""
    groups: dict[GeneratorChoice, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.choice, []).append(job)
    return [job for group in groups.values() for job in group]


def run_job(job: Job, warm: WarmGenerator, callbacks: Callbacks) -> Outcome:
    """Make the result of a job and its report.

    What an earlier batch left unfinished is gone on with, unless the job's settings ask to overwrite.
    """
    try:
        resume = job.state() is JobState.INTERRUPTED and not job.settings.overwrite
        job.write_report({})
        report = synced(job, replace(job.settings, overwrite=True, resume=resume), warm, callbacks)
        job.write_report(report)
    except LatentSyncError as error:
        return failed(job, str(error))
    except Exception as error:  # of a bug or a device that gives up, the other clips know nothing
        log.exception("%s: %s", job.name, error)
        return failed(job, f"{type(error).__name__}: {error}")
    return Outcome(job, "done", report)


def synced(job: Job, settings: Settings, warm: WarmGenerator, callbacks: Callbacks) -> dict[str, Any]:
    """Lip-sync the clip of a job; its report, with scores where they are asked for."""
    generator = warm.load(job.choice, settings)
    score = RunScore(generator.device) if job.scored else None
    if score is not None:
        callbacks = replace(callbacks, on_frame=score.observe)
    with local_file(job.video, settings.cache) as video, local_file(job.audio, settings.cache) as audio:
        report = lipsync(video, audio, job.output, generator, settings, callbacks)
        if score is not None:
            report = replace(report, scores=score.scores(report, audio, settings.audio_track))
    told = report.to_dict()
    for name, source in (("video", job.video), ("audio", job.audio)):
        told["inputs"][name]["path"] = valid_text(str(source))  # the copy of an address is gone
    return told


def failed(job: Job, reason: str) -> Outcome:
    """The outcome of a job that gave no result, in one line."""
    return Outcome(job, "failed", {}, " ".join(reason.split()))
