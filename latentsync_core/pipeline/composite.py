"""From face latents back to a clip: decode, keep what the mask keeps, paste into the frame's own planes, write."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from ..diffusion import Window, disjoint_windows
from ..faces import (
    MouthMasks,
    PastedRegion,
    composite_crop,
    crop_face,
    fixed_mask,
    match_color,
    paste_region,
)
from ..media import (
    EncodeSettings,
    Frame,
    VideoInfo,
    VideoWriter,
    apply_edit,
)
from ..models.vae import LatentCodec
from ..progress import Callbacks
from .encode import Alignment, face_of, pixels_of
from .timeline import Timeline

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
    [-1, 1]. region: what was pasted. matrix: (2, 3) from the frame to the crop. These four are None for a frame that
    passed untouched. seconds: when the frame is shown, once it has its place in the output.
    """

    frame: Frame
    picture: av.VideoFrame
    crop: np.ndarray | None = None
    generated: Tensor | None = None
    region: PastedRegion | None = None
    matrix: np.ndarray | None = None
    seconds: float | None = None

    @property
    def synced(self) -> bool:
        """Whether a generated face was pasted."""
        return self.region is not None


@dataclass(frozen=True)
class Blend:
    """How generated faces are put into their frames.

    blend: "mouth" takes only the redrawn lower face, feathered, and leaves eyes and nose the frame's own pixels;
    "reference" pastes the whole crop, with the kept part of it resampled, as published.
    antialias: see `paste_region`. masks: what is taken of a face in every frame, and how its colours are matched; the
    reference's blend obeys their limit alone. strength: in 0..1 by output frame, how much of the mouth to show; all by
    default, and always with the reference's blend.
    """

    masks: MouthMasks
    blend: str = "mouth"
    antialias: bool = False
    strength: np.ndarray | None = None

    def shown(self, position: int) -> float:
        """How much of the mouth to show in an output frame, 0..1."""
        return 1.0 if self.strength is None or self.blend != "mouth" else float(self.strength[position])

    def part(self, frames: slice) -> "Blend":
        """The blend of some of the output frames, counted from the first of them."""
        return self if self.strength is None else replace(self, strength=self.strength[frames])


def composite(
    frames: Iterable[Frame], faces: Iterator[tuple[int, Tensor]], alignment: Alignment, blend: Blend
) -> Iterator[Composited]:
    """Put each generated face into its frame; a frame without one passes untouched.

    frames: what each output frame shows, in output order. faces: (output frame, face (3, r, r) in [-1, 1]), rising.
    alignment: of the source frames. Outside the soft mask every sample of every plane is the source's, bit for bit.
    """
    upcoming = next(faces, None)
    for position, frame in enumerate(frames):
        if upcoming is None or upcoming[0] != position:
            yield Composited(frame, frame.picture)
            continue
        shown = blend.shown(position)
        if shown == 0:
            yield Composited(frame, frame.picture)
        else:
            yield paste_generated(frame, upcoming[1], alignment.matrices[frame.index], blend, shown)
        upcoming = next(faces, None)


def paste_generated(
    frame: Frame, generated: Tensor, matrix: np.ndarray, blend: Blend, shown: float = 1.0
) -> Composited:
    """Put one generated face (3, r, r) into its frame; see `composite`. shown: 0..1, how much of the mouth."""
    masks, resolution, antialias = blend.masks, blend.masks.resolution, blend.antialias
    image, local, left, top = face_of(frame, matrix, resolution)
    crop = crop_face(image, local, resolution, antialias)
    if blend.blend == "mouth":
        face = match_color(generated, crop) if masks.seam.color_match == "ring" else generated
        share = masks.share(frame.index, matrix) * shown
    else:
        face, share = composite_crop(generated[None], pixels_of([crop]), fixed_mask(resolution))[0], None
    limit = masks.limit_at(frame.index, (left, top, left + image.shape[1], top + image.shape[0]))
    region = paste_region(image, face, local, resolution, antialias, share=share, limit=limit)
    if not region.alpha.size:  # the masks leave nothing of it
        return Composited(frame, frame.picture)
    before = image[region.slices]
    region = replace(region, left=left + region.left, top=top + region.top)
    picture = apply_edit(frame.picture, before, region.pixels, region.left, region.top)
    return Composited(frame, picture, crop, generated, region, matrix)


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
