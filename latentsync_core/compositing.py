"""From face latents back to a clip: decode, keep what the mask keeps, paste into the frame's own planes, write."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from .diffusion import Window, disjoint_windows
from .face_latents import face_of, pixels_of
from .faces import PastedRegion, composite_crop, crop_face, fixed_mask, mouth_share, paste_region
from .media import EncodeSettings, Frame, ImageReader, VideoReader, VideoWriter, apply_edit
from .progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .timeline import Timeline
from .vae import LatentCodec

DECODED_FRAMES = 4  # generated faces held as pixels at a time


def decoded_faces(latents: Tensor, codec: LatentCodec) -> Iterator[Tensor]:
    """Decode latents (1, 4, F, h, w) a few frames at a time: faces (3, 8h, 8w) in [-1, 1], in order."""
    for part in latents[0].split(DECODED_FRAMES, dim=1):  # (4, f, h, w)
        yield from codec.decode(part.transpose(0, 1))


def generated_faces(latents: Tensor, windows: Sequence[Window], codec: LatentCodec) -> Iterator[tuple[int, Tensor]]:
    """Decode what the windows of a clip's latents hold: (output frame, face (3, 8h, 8w) in [-1, 1])."""
    for span in disjoint_windows(windows):
        faces = decoded_faces(latents[:, :, span.start : span.stop], codec)
        yield from zip(range(span.start, span.stop), faces, strict=True)


@dataclass(frozen=True)
class Composited:
    """One output frame: the picture to write, and for a synced frame what it was made of.

    picture: native format. crop: the aligned source face (r, r, 3) uint8. generated: the decoded face (3, r, r) in
    [-1, 1]. region: what was pasted. The last three are None for a frame that passed untouched.
    """

    frame: Frame
    picture: av.VideoFrame
    crop: np.ndarray | None = None
    generated: Tensor | None = None
    region: PastedRegion | None = None

    @property
    def synced(self) -> bool:
        """Whether a generated face was pasted."""
        return self.region is not None


def composite(
    frames: Iterable[Frame],
    faces: Iterator[tuple[int, Tensor]],
    matrices: np.ndarray,
    resolution: int,
    blend: str = "mouth",
    antialias: bool = False,
    strength: np.ndarray | None = None,
) -> Iterator[Composited]:
    """Put each generated face into its frame; a frame without one passes untouched.

    blend: "mouth" takes only the redrawn lower face, feathered, and leaves eyes and nose the frame's own pixels;
    "reference" pastes the whole crop, with the kept part of it resampled, as published.

    frames: what each output frame shows, in output order. faces: (output frame, face (3, r, r) in [-1, 1]), rising.
    matrices: (N, 2, 3) by source frame. strength: in 0..1 by output frame, how much of the mouth to show; all by
    default, and always with the reference's blend.
    Outside the soft mask every sample of every plane is the source's, bit for bit.
    """
    mask, share = fixed_mask(resolution), mouth_share(resolution) if blend == "mouth" else None
    upcoming = next(faces, None)
    for position, frame in enumerate(frames):
        if upcoming is None or upcoming[0] != position:
            yield Composited(frame, frame.picture)
            continue
        shown = 1.0 if strength is None or share is None else float(strength[position])
        if shown == 0:
            yield Composited(frame, frame.picture)
            upcoming = next(faces, None)
            continue
        generated = upcoming[1]
        image, matrix, left, top = face_of(frame, matrices[frame.index], resolution)
        crop = crop_face(image, matrix, resolution, antialias)
        face = generated if share is not None else composite_crop(generated[None], pixels_of([crop]), mask)[0]
        taken = None if share is None else share * shown
        region = paste_region(image, face, matrix, resolution, antialias, share=taken)
        height, width = region.alpha.shape
        before = image[region.top : region.top + height, region.left : region.left + width]
        region = replace(region, left=left + region.left, top=top + region.top)
        picture = apply_edit(frame.picture, before, region.pixels, region.left, region.top)
        yield Composited(frame, picture, crop, generated, region)
        upcoming = next(faces, None)


OnFrame = Callable[[int, Composited], None]


def ignore_frame(index: int, frame: Composited) -> None:
    """Watch no frames: the default."""


def render_clip(
    target: Path,
    reader: VideoReader | ImageReader,
    timeline: Timeline,
    faces: Iterator[tuple[int, Tensor]],
    matrices: np.ndarray,
    resolution: int,
    voice: Path | Iterable[av.AudioFrame],
    *,
    blend: str = "mouth",
    antialias: bool = False,
    strength: np.ndarray | None = None,
    encode: EncodeSettings | None = None,
    overwrite: bool = False,
    on_frame: OnFrame = ignore_frame,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> int:
    """Paste every generated face into its frame and write the clip with its voice; returns how many were synced.

    Frames stream from the reader to the file one by one. voice: a file, or blocks at its own rate.
    """
    synced = 0
    with VideoWriter(
        target,
        reader.info,
        encode,
        fps=timeline.fps,
        times_given=timeline.variable,
        audio=voice,
        duration=timeline.seconds,
        overwrite=overwrite,
        inputs=(voice,) if isinstance(voice, Path) else (),
    ) as writer:
        frames = composite(reader.frames_at(timeline.source), faces, matrices, resolution, blend, antialias, strength)
        for index, composited in enumerate(frames):
            check_cancelled()
            writer.write(composited.picture, timeline.times[index] if timeline.variable else None)
            synced += composited.synced
            on_frame(index, composited)
            on_progress(index + 1, len(timeline))
    return synced
