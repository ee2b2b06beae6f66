"""A generator that sleeps where others compute, mirrors the filmed face, and fails where a test wants it to."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentsync_core.faces import FaceTrack
from latentsync_core.generators.aligned_faces import AlignedFaces, aligned_faces
from latentsync_core.generators.clip import Clip
from latentsync_core.generators.face_latents import pixels_of
from latentsync_core.generators.generator import Generation, Generator
from latentsync_core.generators.segments import Segment
from latentsync_core.media import VideoReader
from latentsync_core.models.embedded import embedded_whisper
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

FULL_BYTES = 1000  # to which no part of a clip can be written


def limit_files(size: int | None) -> None:
    """Let no file of this process grow beyond `size` bytes, as on a full disk; None = as far as it may."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))


@dataclass(frozen=True)
class SleepingChoice:
    """Stands where a GeneratorChoice does.

    folder: in which every segment that was generated leaves a line in "made", and where a file "fault-INDEX" holds what
    happens to that segment: "kill" (once), "poison" (each time) or "disk" (once: its part does not fit). seconds: that
    a segment takes.
    """

    folder: Path
    seconds: float = 0.0
    device: str = "cpu"

    def load(self, settings: Settings) -> "Sleeping":
        return Sleeping(self)

    def made(self) -> list[int]:
        """The segments that were generated so far, each time."""
        path = self.folder / "made"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def fault(self, index: int, kind: str) -> None:
        """Have a segment fail."""
        (self.folder / f"fault-{index}").write_text(kind)


class Sleeping(Generator):
    """Knows no voice and no steps."""

    name = "sleeping"

    def __init__(self, choice: SleepingChoice):
        self.choice = choice
        self.device, self.audio_encoder, self.sources = torch.device("cpu"), embedded_whisper(), {}

    def working_resolution(self, asked: int | None) -> int:
        return asked or 128

    def face_crops(self, track: FaceTrack, settings: Settings) -> AlignedFaces:
        return aligned_faces(track, settings)

    def begin(self, clip: Clip, reader: VideoReader) -> "SleepingGeneration":
        return SleepingGeneration(self.choice, clip, reader)


@dataclass
class SleepingGeneration(Generation):
    """Hands on every filmed face, mirrored, after some sleep."""

    choice: SleepingChoice
    clip: Clip
    reader: VideoReader

    def encode(self, segment: Segment, callbacks: Callbacks) -> Tensor:
        limit_files(None)
        shown = self.clip.source[segment.start : segment.stop]
        return pixels_of([self.clip.crops.crop(frame) for frame in self.reader.frames_at(shown)])

    def generate(self, segment: Segment, encoded: Tensor, callbacks: Callbacks) -> Tensor:
        deadline = time.monotonic() + self.choice.seconds
        while time.monotonic() < deadline:
            callbacks.check_cancelled()
            time.sleep(min(0.05, self.choice.seconds))
        self._fail(segment.index)
        with open(self.choice.folder / "made", "a", encoding="utf-8") as file:
            file.write(f"{segment.index}\n")
        return encoded.flip(-1)

    def faces(self, segment: Segment, generated: Tensor) -> Iterator[tuple[int, Tensor]]:
        return enumerate(generated)

    def _fail(self, index: int) -> None:
        fault = self.choice.folder / f"fault-{index}"
        if not fault.exists():
            return
        kind = fault.read_text()
        if kind != "poison":
            fault.unlink()
        if kind == "disk":
            limit_files(FULL_BYTES)
            return
        os.kill(os.getpid(), signal.SIGKILL)
