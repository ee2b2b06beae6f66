"""What one frame costs outside the networks that generate: decode, convert, track, crop, paste, edit."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor

from ..errors import LatentSyncError
from ..faces import crop_face, mouth_share, paste_region, track_faces
from ..media import Frame, VideoReader, apply_edit
from ..pipeline.encode import pixels_of

Result = TypeVar("Result")
MS = 1000.0  # per second
FACE_STAGES = ("track", "crop", "paste")  # what the reference calls alignment and restoring


@dataclass(frozen=True)
class StageTiming:
    """Milliseconds per frame that one stage took, a sample per frame."""

    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The frame in the middle, ms."""
        return statistics.median(self.samples)

    @property
    def minimum(self) -> float:
        """The fastest frame, ms: what the machine can do when nothing else runs on it."""
        return min(self.samples)


@dataclass
class Stopwatch:
    """Collects how long calls take, by name, in ms."""

    samples: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, started: float) -> None:
        """Add the time since `started` (perf_counter seconds)."""
        self.samples.setdefault(name, []).append((time.perf_counter() - started) * MS)

    def call(self, name: str, function: Callable[..., Result], *arguments, **named) -> Result:
        """The function's result, its time noted under `name`."""
        started = time.perf_counter()
        result = function(*arguments, **named)
        self.note(name, started)
        return result

    def timings(self) -> list[StageTiming]:
        """What was collected, in the order in which the names first came."""
        return [StageTiming(name, tuple(samples)) for name, samples in self.samples.items()]


def measure_faces(video: Path | str, frames: int = 100, resolution: int = 256) -> list[StageTiming]:
    """Time every per-frame stage on the first `frames` frames of `video` at its own size; crop size in pixels.

    The face itself, mirrored, stands in for a generated one, so that pasting changes pixels. Returns the timings
    of decode, rgb, track, crop, paste and edit, and of track + crop + paste over the frames that show a face.
    Raises LatentSyncError as the reader and the tracker do, and where not one frame shows a face.
    """
    watch = Stopwatch()
    with VideoReader(video) as reader:
        try:
            track = track_faces(watched_pictures(reader.frames(0, frames), watch))
        except LatentSyncError as error:
            raise LatentSyncError(f"{video}: {error}") from error
        matrices = track.matrices(resolution)
        share = mouth_share(resolution)
        shown = np.flatnonzero(track.present).tolist()
        for frame in reader.frames_at(shown):
            replace_face(frame, matrices[frame.index], resolution, share, watch)
    tracked, cropped, pasted = (watch.samples[name] for name in FACE_STAGES)
    together = tuple(tracked[index] + crop + paste for index, crop, paste in zip(shown, cropped, pasted, strict=True))
    return [*watch.timings(), StageTiming(" + ".join(FACE_STAGES), together)]


def watched_pictures(frames: Iterable[Frame], watch: Stopwatch) -> Iterator[np.ndarray]:
    """The frames as RGB; how long the consumer keeps each before it asks for the next is what tracking takes."""
    stream = iter(frames)
    while (frame := watch.call("decode", next, stream, None)) is not None:
        picture = watch.call("rgb", frame.rgb)
        started = time.perf_counter()
        yield picture
        watch.note("track", started)
    watch.samples["decode"].pop()  # the call that found the end


def replace_face(frame: Frame, matrix: np.ndarray, resolution: int, share: Tensor, watch: Stopwatch) -> None:
    """Crop, paste and edit one frame as a run does."""
    image = frame.rgb()
    crop = watch.call("crop", crop_face, image, matrix, resolution, True)
    face = pixels_of([crop])[0].flip(-1)
    region = watch.call("paste", paste_region, image, face, matrix, resolution, True, share=share)
    height, width = region.alpha.shape
    before = image[region.top : region.top + height, region.left : region.left + width]
    watch.call("edit", apply_edit, frame.picture, before, region.pixels, region.left, region.top)
