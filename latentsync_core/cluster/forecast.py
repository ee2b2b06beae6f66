"""What a batch will take: every kind of clip is tried once on a few frames, here, and scaled to all of them."""

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import LatentSyncError
from ..generators.generator import Generator
from ..options import DEFAULT_FACE, DEFAULT_SEED
from ..pipeline.estimate import Costs, measure_costs, stage_seconds, work_at_most
from ..pipeline.plan import Inputs
from ..pipeline.resume.run_folder import RunFolder
from ..settings import Settings
from .input_source import local_file
from .job import Job
from .run_job import WarmGenerator, by_choice

log = logging.getLogger(__name__)


@dataclass
class BatchForecast:
    """The work of some clips on one worker such as this process, if every frame shows a face.

    clips, frames: of output, and how many seconds of it. stages: seconds of work by stage. unread: clips that could not
    be looked into. device: that all was measured on.
    """

    clips: int = 0
    frames: int = 0
    video_seconds: float = 0.0
    stages: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    device: str = ""

    @property
    def seconds(self) -> float:
        """On one worker."""
        return sum(self.stages.values())

    def hours(self, workers: int) -> float:
        """On so many like it, if the clips divide evenly among them."""
        return self.seconds / workers / 3600


def forecast_batch(jobs: Sequence[Job], told: Callable[[int], Any]) -> BatchForecast:
    """Forecast `jobs`. told: is given how many were looked at by now.

    A clip that cannot be read is warned of and counts as none. Raises LatentSyncError where models cannot be loaded.
    """
    found, warm, costs = BatchForecast(), WarmGenerator(), {}
    for number, job in enumerate(by_choice(jobs), start=1):
        generator = warm.load(job.choice, job.settings)
        settings = replace(job.settings, resolution=generator.working_resolution(job.settings.resolution), cache=None)
        found.device = generator.device.type
        try:
            cache = job.settings.cache
            with local_file(job.video, cache) as video, local_file(job.audio, cache) as audio:
                inputs = Inputs.probe(video, audio, settings.audio_track)
                kind = kind_of(job, inputs)
                if kind not in costs:
                    costs[kind] = tried(inputs, generator, settings, job.output.name)
        except LatentSyncError as error:
            log.warning("%s: %s", job.name, error)
            found.unread += 1
        else:
            work = work_at_most(inputs, settings)
            found.clips += 1
            found.frames += work.frames
            found.video_seconds += work.frames / float(settings.rate or inputs.video.fps)
            found.stages.update(stage_seconds(work, costs[kind]))
        told(number)
    return found


def kind_of(job: Job, inputs: Inputs) -> tuple:
    """What the cost of a frame depends on: models, settings but for those that only choose, and the picture's size."""
    settings = replace(job.settings, cache=None, seed=DEFAULT_SEED, face=DEFAULT_FACE)
    return job.choice, settings, inputs.video.width, inputs.video.height, inputs.video.codec


def tried(inputs: Inputs, generator: Generator, settings: Settings, name: str) -> Costs:
    """What each kind of work costs for a clip; what is written meanwhile is removed."""
    with tempfile.TemporaryDirectory(prefix="latentsync-") as folder:
        with RunFolder(Path(folder, name), resume=False, overwrite=True) as run_folder:
            return measure_costs(inputs, generator, settings, run_folder)
