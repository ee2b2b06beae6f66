"""Time per frame outside the generating networks, as a run spends it: decode, track, crop, paste."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import LatentSyncError
from ..faces import MouthMasks, Seam, track_faces
from ..generators.aligned_faces import AlignedFaces, Alignment
from ..generators.face_latents import pixels_of
from ..media import Frame, VideoReader
from .timing import StageTiming, Stopwatch

FACE_STAGES = ("track", "crop", "paste")  # the reference's alignment and restoring steps


def measure_faces(video: Path | str, frames: int = 100, resolution: int = 256) -> list[StageTiming]:
    """Time every per-frame stage on the first `frames` frames of `video` at its own size; crop size in pixels.

    The face itself, mirrored, replaces a generated one, so that pasting changes pixels; each stage converts what it
    needs of a frame. Returns the timings of decode, track, crop and paste, and of track + crop + paste over the frames
    that show a face. Raises LatentSyncError as the reader and the tracker do, and where not one frame shows a face.
    """
    stopwatch = Stopwatch()
    with VideoReader(video) as reader:
        try:
            track = track_faces(timed_frames(reader.frames(0, frames), stopwatch))
        except LatentSyncError as error:
            raise LatentSyncError(f"{video}: {error}") from error
        alignment = Alignment(track.matrices(resolution), resolution, antialias=True)
        crops = AlignedFaces(alignment, MouthMasks(resolution, Seam()))
        shown = np.flatnonzero(track.present).tolist()
        for frame in reader.frames_at(shown):
            replace_face(frame, crops, stopwatch)
    tracked, cropped, pasted = (stopwatch.samples[name] for name in FACE_STAGES)
    together = tuple(tracked[index] + crop + paste for index, crop, paste in zip(shown, cropped, pasted, strict=True))
    return [*stopwatch.timings(), StageTiming(" + ".join(FACE_STAGES), together)]


def timed_frames(frames: Iterable[Frame], stopwatch: Stopwatch) -> Iterator[Frame]:
    """The frames as they come; the time until the consumer requests the next one is that of tracking."""
    stream = iter(frames)
    while (frame := stopwatch.call("decode", next, stream, None)) is not None:
        started = time.perf_counter()
        yield frame
        stopwatch.note("track", started)
    stopwatch.samples["decode"].pop()  # the call that found the end


def replace_face(frame: Frame, crops: AlignedFaces, stopwatch: Stopwatch) -> None:
    """Crop one frame and paste a face into it as a run does, which reads the frame a second time in between."""
    crop = stopwatch.call("crop", crops.crop, frame)
    face = pixels_of([crop])[0].flip(-1)
    stopwatch.call("paste", crops.paste, replace(frame), face)
