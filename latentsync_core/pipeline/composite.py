"""From new faces back to a clip: put into the frame's own planes, written as they come."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from ..generators.face_crops import Composited, FaceCrops
from ..media import EncodeSettings, Frame, VideoInfo, VideoWriter
from ..progress import Callbacks
from .timeline import Timeline


def composite(
    frames: Iterable[Frame],
    faces: Iterator[tuple[int, Tensor]],
    crops: FaceCrops,
    strength: np.ndarray | None = None,
) -> Iterator[Composited]:
    """Put each generated face into its frame; a frame without one passes untouched.

    frames: what each output frame shows, in output order. faces: (output frame, face (3, h, w) in [-1, 1]), rising.
    crops: of the source frames. strength: in 0..1 by output frame, how much of the mouth to show; all by default.
    Outside the soft mask every sample of every plane is the source's, bit for bit.
    """
    upcoming = next(faces, None)
    for position, frame in enumerate(frames):
        if upcoming is None or upcoming[0] != position:
            yield Composited(frame, frame.picture)
            continue
        shown = 1.0 if strength is None else float(strength[position])
        yield crops.paste(frame, upcoming[1], shown) if shown else Composited(frame, frame.picture)
        upcoming = next(faces, None)


def clip_writer(
    target: Path,
    like: VideoInfo,
    timeline: Timeline,
    voice: Path | Iterable[av.AudioFrame],
    encode: EncodeSettings | None = None,
) -> VideoWriter:
    """What writes a clip of `timeline` with its voice: a file, or blocks at its own rate. like: the source's info."""
    return VideoWriter(
        target,
        like,
        encode,
        fps=timeline.fps,
        times_given=timeline.variable,
        audio=voice,
        duration=timeline.seconds,
        inputs=(voice,) if isinstance(voice, Path) else (),
    )


def write_clip(writer: VideoWriter, frames: Iterable[Composited], timeline: Timeline, callbacks: Callbacks) -> int:
    """Write every output frame as it comes, stage "write"; returns how many were synced."""
    synced, progress = 0, callbacks.progress("write")
    progress(0, len(timeline))
    for index, composited in enumerate(frames):
        callbacks.check_cancelled()
        writer.write(composited.picture, timeline.times[index] if timeline.variable else None)
        synced += composited.synced
        callbacks.on_frame(index, composited)
        progress(index + 1, len(timeline))
    return synced
