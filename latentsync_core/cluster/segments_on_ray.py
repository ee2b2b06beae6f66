"""One clip whose segments are made by the workers of a cluster and joined here, in place of `pipeline.generate`."""

import logging
from dataclasses import dataclass
from types import ModuleType

from ..errors import LatentSyncError
from ..generators.choice import GeneratorChoice
from ..generators.generator import Generator
from ..media.write.parts import join_parts
from ..pipeline.generate import Generated, parted_video, sound_of
from ..pipeline.plan import Plan
from ..pipeline.resume.run_folder import RunFolder, SegmentRecord
from ..pipeline.voice import Voice
from ..progress import Callbacks
from ..run_log import RunLog
from .connection import connected
from .placement import Needs, place_workers
from .segment_worker import ClipOrder, MadePart, Refusal, SegmentWorker, WorkerKind
from .spread import Lost, Workers

log = logging.getLogger(__name__)

HANDS_ON_CARDS = 2  # segments: one is denoised while the other is read or written; on a processor that gains nothing


@dataclass(frozen=True)
class SegmentsOnRay:
    """A `lipsync.Generate` by the workers of a cluster. choice: of the generator that they load."""

    needs: Needs
    choice: GeneratorChoice

    def __call__(
        self, plan: Plan, voice: Voice, generator: Generator, folder: RunFolder, run_log: RunLog, callbacks: Callbacks
    ) -> Generated:
        """Have every segment made that is not finished yet, keep each part as it comes, then join all with the voice.

        What is finished stays in `folder` whatever happens, and is not made again by a run that is resumed, on a
        cluster or without. callbacks: on_frame sees nothing.
        """
        records = {part.index: record for part in plan.segments if (record := folder.finished(part))}
        finished = FinishedParts(plan, folder, run_log, callbacks, records, WorkerKind.of(generator))
        left = [part.index for part in plan.segments if part.index not in records]
        finished.tell_progress()
        if left:
            order = ClipOrder.of(plan, voice, self.choice, generator.name, folder.target)
            self._make(order, left, finished)
        for part in plan.segments:
            run_log.add_warnings(finished.records[part.index].warnings)
        with run_log.stage("write"):
            parts = [(folder.part(segment), segment.start, segment.stop) for segment in plan.segments]
            video = parted_video(plan, folder.target)
            join_parts(video, parts, sound_of(plan), overwrite=plan.settings.overwrite)
        synced = sum(record.synced for record in finished.records.values())
        return Generated(folder.target, synced, len(plan.segments) - len(left), finished.memory)

    def _make(self, order: ClipOrder, left: list[int], finished: "FinishedParts") -> None:
        """Spread segments over workers, which are told of the clip once each."""
        with connected(self.needs.address) as ray:
            machines = [node for node in ray.nodes() if node["Alive"]]
            placement = place_workers(self.needs, [node["Resources"] for node in machines], self.choice.device)
            content = video_content(ray, order, machines)
            hands = HANDS_ON_CARDS if placement.options["num_gpus"] else 1
            workers = Workers(ray, SegmentWorker, placement, ray.put(order), content, hands=hands)
            check_cancelled = finished.callbacks.check_cancelled
            for index, made in workers.spread(left, lambda actor, index: actor.make.remote(index), check_cancelled):
                finished.keep(index, made)


class FinishedParts:
    """Takes the parts of a clip as they arrive, in whatever order.

    records: of the segments that are finished. own: what this process would make parts with. memory: the most that any
    worker told of.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        run_log: RunLog,
        callbacks: Callbacks,
        records: dict[int, SegmentRecord],
        own: WorkerKind,
    ):
        self._plan, self._folder, self._log = plan, folder, run_log
        self.callbacks, self.records = callbacks, records
        self._kinds = [own]
        self.memory: dict[str, int] = {}

    def tell_progress(self) -> None:
        """How many output frames are written by now."""
        done = sum(len(self._plan.segments[index]) for index in self.records)
        self.callbacks.on_progress("write", done, len(self._plan.timeline))

    def keep(self, index: int, made: MadePart | Refusal | Lost) -> None:
        """Put a part into the run's folder. Raises LatentSyncError for one that could not be made."""
        segment = self._plan.segments[index]
        if not isinstance(made, MadePart):
            why = made.reason if isinstance(made, Refusal) else f"frames {segment.start} to {segment.stop - 1}: {made}"
            raise LatentSyncError(why)
        self._check_kind(made.kind)
        self._folder.put(segment, made.record, made.content)
        self.records[index] = made.record
        for stage, seconds in made.stages.items():
            self._log.stages[stage] = round(self._log.stages.get(stage, 0.0) + seconds, 3)
        self.memory = {name: max(value, self.memory.get(name, 0)) for name, value in made.memory.items()}
        self.tell_progress()

    def _check_kind(self, kind: WorkerKind) -> None:
        """Refuse other weights; warn where parts come from unlike devices, as their last digits may differ."""
        if kind in self._kinds:
            return
        for known in self._kinds:
            if known.precision == kind.precision and known.digests != kind.digests:
                names = [name for name, digest in kind.digests.items() if known.digests.get(name) != digest]
                raise LatentSyncError(
                    f"Machines of the cluster hold different model files ({', '.join(names)}); copy the same to all."
                )
        self._kinds.append(kind)
        listed = "; ".join(dict.fromkeys(f"{known.device}, {known.precision}" for known in self._kinds))
        log.warning(
            "This process and the workers run on unlike devices (%s): bytes are those of the devices that make them.",
            listed,
        )


def video_content(ray: ModuleType, order: ClipOrder, machines: list[dict]) -> list:
    """A list with the reference to the source's bytes where some machine may lack the file; else an empty one."""
    if len({machine["NodeManagerAddress"] for machine in machines}) == 1:
        return []
    return [ray.put(order.video.path.read_bytes())]
