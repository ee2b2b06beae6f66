"""Time per frame outside the generating networks: decode, convert, track, crop, paste, edit."""

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
FACE_STAGES = ("track", "crop", "paste")  # the reference's alignment and restoring steps


@dataclass(frozen=True)
class StageTiming:
    """Milliseconds per frame that one stage took, a sample per frame."""

    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the frames, ms."""
        return statistics.median(self.samples)

    @property
    def minimum(self) -> float:
        """The fastest frame, ms: the least affected by other processes."""
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

    The face itself, mirrored, replaces a generated one, so that pasting changes pixels. Returns the timings
    of decode, rgb, track, crop, paste and edit, and of track + crop + paste over the frames that show a face.
    Raises LatentSyncError as the reader and the tracker do, and where not one frame shows a face.
    """
    stopwatch = Stopwatch()
    with VideoReader(video) as reader:
        try:
            track = track_faces(timed_pictures(reader.frames(0, frames), stopwatch))
        except LatentSyncError as error:
            raise LatentSyncError(f"{video}: {error}") from error
        matrices = track.matrices(resolution)
        share = mouth_share(resolution)
        shown = np.flatnonzero(track.present).tolist()
        for frame in reader.frames_at(shown):
            replace_face(frame, matrices[frame.index], resolution, share, stopwatch)
    tracked, cropped, pasted = (stopwatch.samples[name] for name in FACE_STAGES)
    together = tuple(tracked[index] + crop + paste for index, crop, paste in zip(shown, cropped, pasted, strict=True))
    return [*stopwatch.timings(), StageTiming(" + ".join(FACE_STAGES), together)]


def timed_pictures(frames: Iterable[Frame], stopwatch: Stopwatch) -> Iterator[np.ndarray]:
    """The frames as RGB; the time until the consumer requests the next one is that of tracking."""
    stream = iter(frames)
    while (frame := stopwatch.call("decode", next, stream, None)) is not None:
        picture = stopwatch.call("rgb", frame.rgb)
        started = time.perf_counter()
        yield picture
        stopwatch.note("track", started)
    stopwatch.samples["decode"].pop()  # the call that found the end


def replace_face(frame: Frame, matrix: np.ndarray, resolution: int, share: Tensor, stopwatch: Stopwatch) -> None:
    """Crop, paste and edit one frame as a run does, with the time of each.

    Args:
        frame: of the clip.
        matrix: (2, 3) of its face.
        resolution: of the crop in pixels.
        share: (r, r) of the crop that is pasted.
        stopwatch: collects the times.
    """
    image = frame.rgb()
    crop = stopwatch.call("crop", crop_face, image, matrix, resolution, True)
    face = pixels_of([crop])[0].flip(-1)
    region = stopwatch.call("paste", paste_region, image, face, matrix, resolution, True, share=share)
    stopwatch.call("edit", apply_edit, frame.picture, image[region.slices], region.pixels, region.left, region.top)
