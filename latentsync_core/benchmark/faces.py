"""Time per frame outside the generating networks: decode, convert, track, crop, paste, edit."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import LatentSyncError
from ..faces import crop_face, mouth_share, paste_region, track_faces
from ..generators.face_latents import pixels_of
from ..media import Frame, VideoReader, apply_edit
from .timing import StageTiming, Stopwatch

FACE_STAGES = ("track", "crop", "paste")  # the reference's alignment and restoring steps


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
