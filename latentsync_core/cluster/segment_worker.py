"""A process of the cluster that makes segments of one clip, whichever it is asked for, into parts to be sent back."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..audio import FeatureArray
from ..errors import LatentSyncError
from ..generators.choice import GeneratorChoice
from ..generators.clip import Clip
from ..generators.generator import STAGES, Generation, Generator
from ..generators.segments import Segment
from ..media import VideoReader
from ..media.write.parts import PART_EXTENSION, PartedVideo, PartWriter
from ..pipeline.generate import clip_of, parted_video, write_segment
from ..pipeline.plan import Plan
from ..pipeline.resume.run_folder import SegmentRecord
from ..pipeline.voice import Voice
from ..progress import Callbacks
from ..run_log import RunLog
from .connection import import_ray
from .run_job import WarmGenerator
from .turns import Turns

UNWATCHED = Callbacks()  # nobody watches inside a worker, and it is stopped by ending it


@dataclass(frozen=True)
class VideoFile:
    """The source as the driver sees it: workers of machines that have the same file there read it in place."""

    path: Path
    size: int
    written: int  # nanoseconds

    @classmethod
    def of(cls, path: Path) -> "VideoFile":
        """What tells this file from another."""
        found = path.stat()
        return cls(path.absolute(), found.st_size, found.st_mtime_ns)

    def is_here(self) -> bool:
        """Whether this machine has it."""
        return self.path.is_file() and VideoFile.of(self.path) == self


@dataclass(frozen=True)
class ClipOrder:
    """All that workers are told of a clip, once each.

    choice: of the generator; name: of the one that draws the clip, which may be the one it gives way to. target: what
    the parts become.
    """

    choice: GeneratorChoice
    name: str
    plan: Plan
    clip: Clip
    video: VideoFile
    target: Path

    @classmethod
    def of(cls, plan: Plan, voice: Voice, choice: GeneratorChoice, name: str, target: Path) -> "ClipOrder":
        """The order for a plan, without the cache of the driver's machine."""
        plan = replace(plan, settings=replace(plan.settings, cache=None))
        clip = replace(clip_of(plan, voice), features=FeatureArray(voice.features))
        return cls(choice, name, plan, clip, VideoFile.of(plan.inputs.video.path), target)


@dataclass(frozen=True)
class WorkerKind:
    """What the bytes of a part depend on beside the clip: card or processor, precision, and digests of the weights."""

    device: str
    precision: str
    digests: dict[str, str]

    @classmethod
    def of(cls, generator: Generator) -> "WorkerKind":
        """That of this process."""
        device = generator.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return cls(name, str(generator.sources.get("precision", "as loaded")), generator.digests())


@dataclass(frozen=True)
class MadePart:
    """A finished segment: its file's bytes, what is known of it, seconds by stage, memory, and who made it."""

    content: bytes
    record: SegmentRecord
    stages: dict[str, float]
    memory: dict[str, int]
    kind: WorkerKind


@dataclass(frozen=True)
class Refusal:
    """In place of a part: why it cannot be made, in a sentence for the user."""

    reason: str


class StaleError(Exception):
    """The segment before has left half precision behind after this one had been begun in it."""


@dataclass(frozen=True)
class Begun:
    """A clip that is worked on. begun_in: the precision of each stage's network when it was begun with."""

    generator: Generator
    generation: Generation
    pictures: VideoReader
    video: PartedVideo
    kind: WorkerKind
    begun_in: dict[str, str]

    def check_precision(self, stage: str) -> None:
        """Raise StaleError where a stage would no longer work as it does in a worker's first segment."""
        if self.generation.precision(stage) != self.begun_in[stage]:
            raise StaleError


class SegmentWorker:
    """Makes segments of the clip of `order`; its models stay loaded, and it reads the video forwards as far as it can.

    Several threads may ask for a segment each: while one is generated, the next is read and encoded, or the one before
    pasted and written, so that a card need not wait for the processor.
    content: a list with the reference to the video's bytes, for machines that do not have the file; or an empty one.
    """

    def __init__(self, order: ClipOrder, content: list[Any]):
        self._order, self._content = order, content
        self._warm = WarmGenerator()
        self._open = contextlib.ExitStack()
        self._turns = Turns(STAGES)
        self._begun: Begun | None = None
        self._last = -1  # segment that was begun last

    def ready(self) -> bool:
        """That the process has come up."""
        return True

    def make(self, index: int) -> MadePart | Refusal:
        """The part of segment number `index`."""
        segment = self._order.plan.segments[index]
        while True:
            turn = self._turns.take()
            try:
                return self._make(segment, turn)
            except StaleError:
                continue  # once more, last in the queue, in the precision that models are loaded in
            except LatentSyncError as error:
                self._begun = None  # what was begun is not gone on with
                return Refusal(str(error))
            finally:
                self._turns.leave(turn)

    def _make(self, segment: Segment, turn: int) -> MadePart:
        """A segment through its three stages; the file is written here, read back and removed."""
        log, made = RunLog(), None
        with log.collecting_warnings(), tempfile.TemporaryDirectory(prefix="latentsync-") as folder:
            with self._turns.at("encode", turn):
                begun = self._ready_for(segment.index, turn)
                generation = begun.generation
                if segment.groups:
                    with log.stage("encode"):
                        encoded = generation.encode(segment, UNWATCHED)
            with self._turns.at("sample", turn):
                begun.check_precision("sample")
                if segment.groups:
                    with log.stage("sample"):
                        made = generation.generate(segment, encoded, UNWATCHED)
            with self._turns.at("write", turn):
                begun.check_precision("write")
                faces = iter(()) if made is None else generation.faces(segment, made)
                path = Path(folder, f"part{PART_EXTENSION}")
                with log.stage("write"), PartWriter(path, begun.video, segment.start) as part:
                    synced = write_segment(segment, self._order.plan, faces, begun.pictures, part, UNWATCHED)
                content = path.read_bytes()
                precisions = {stage: generation.precision(stage) for stage in STAGES}
        record = SegmentRecord(synced, precisions, tuple(log.warnings))
        return MadePart(content, record, log.stages, generation.memory(), begun.kind)

    def _ready_for(self, index: int, turn: int) -> Begun:
        """The clip as it is worked on; begun with anew where its readers are beyond segment `index`, after an error,
        and where the models are no longer as they were loaded, once the earlier segments are through."""
        if self._begun is None or index <= self._last or not self._warm.is_as_loaded():
            self._turns.wait_for_earlier("write", turn)
            self._begun = self._begin()
        self._last = index
        return self._begun

    def _begin(self) -> Begun:
        """Load the models where they are not, open the video at its start and begin with the clip."""
        self._begun = None  # or two generators would be in memory
        generator = self._warm.load(self._order.choice, self._order.plan.settings)
        if generator.name != self._order.name and generator.instead is not None:
            generator = generator.instead
        self._open.close()
        path = self._open.enter_context(self._video_path())
        faces, pictures = (self._open.enter_context(VideoReader(path)) for _ in range(2))
        generation = generator.begin(replace(self._order.clip, video=path), faces)
        video, kind = parted_video(self._order.plan, self._order.target), WorkerKind.of(generator)
        begun_in = {stage: generation.precision(stage) for stage in STAGES}
        return Begun(generator, generation, pictures, video, kind, begun_in)

    @contextlib.contextmanager
    def _video_path(self) -> Iterator[Path]:
        """The source on this machine: in its own place, or a copy for as long as the clip is worked on."""
        video = self._order.video
        if video.is_here() or not self._content:
            yield video.path
            return
        with tempfile.TemporaryDirectory(prefix="latentsync-") as folder:
            copy = Path(folder, f"source{video.path.suffix}")
            copy.write_bytes(import_ray().get(self._content[0]))
            yield copy
