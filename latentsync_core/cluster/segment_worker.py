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
from ..generators.generator import Generation, Generator
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


class SegmentWorker:
    """Makes segments of the clip of `order`; its models stay loaded, and it reads the video forwards as far as it can.

    content: a list with the reference to the video's bytes, for machines that do not have the file; or an empty one.
    """

    def __init__(self, order: ClipOrder, content: list[Any]):
        self._order, self._content = order, content
        self._warm = WarmGenerator()
        self._open = contextlib.ExitStack()
        self._generator: Generator | None = None
        self._last = -1  # segment that was begun last

    def ready(self) -> bool:
        """That the process has come up."""
        return True

    def make(self, index: int) -> MadePart | Refusal:
        """The part of segment number `index`."""
        segment = self._order.plan.segments[index]
        try:
            generator = self._loaded()
            if generator is not self._generator or index <= self._last:
                self._begin(generator)
            self._last = index
            return self._make(segment)
        except LatentSyncError as error:
            self._generator = None  # what was begun is not gone on with
            return Refusal(str(error))

    def _loaded(self) -> Generator:
        """The clip's generator, in the precision that it is loaded in whatever the segments before did to it."""
        generator = self._warm.load(self._order.choice, self._order.plan.settings)
        if generator.name != self._order.name and generator.instead is not None:
            return generator.instead
        return generator

    def _begin(self, generator: Generator) -> None:
        """Open the video at its start and begin with the clip."""
        self._open.close()
        path = self._open.enter_context(self._video_path())
        readers = [self._open.enter_context(VideoReader(path)) for _ in range(2)]
        self._pictures = readers[1]
        self._generation: Generation = generator.begin(replace(self._order.clip, video=path), readers[0])
        self._kind = WorkerKind.of(generator)
        self._video: PartedVideo = parted_video(self._order.plan, self._order.target)
        self._generator = generator

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

    def _make(self, segment: Segment) -> MadePart:
        """A segment through its three stages; the file is written here, read back and removed."""
        log, generation, made = RunLog(), self._generation, None
        with log.collecting_warnings(), tempfile.TemporaryDirectory(prefix="latentsync-") as folder:
            if segment.groups:
                with log.stage("encode"):
                    encoded = generation.encode(segment, UNWATCHED)
                with log.stage("sample"):
                    made = generation.generate(segment, encoded, UNWATCHED)
            faces = iter(()) if made is None else generation.faces(segment, made)
            path = Path(folder, f"part{PART_EXTENSION}")
            with log.stage("write"), PartWriter(path, self._video, segment.start) as part:
                synced = write_segment(segment, self._order.plan, faces, self._pictures, part, UNWATCHED)
            content = path.read_bytes()
        precisions = {stage: generation.precision(stage) for stage in ("encode", "sample", "write")}
        record = SegmentRecord(synced, precisions, tuple(log.warnings))
        return MadePart(content, record, log.stages, generation.memory(), self._kind)
