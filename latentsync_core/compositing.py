"""From face latents back to pictures: decode, keep what the mask keeps, paste into the frame's own planes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from torch import Tensor

from .diffusion import Window
from .face_latents import pixels_of
from .faces import PastedRegion, composite_crop, crop_face, fixed_mask, mouth_share, paste_region
from .media import Frame, apply_edit
from .vae import LatentCodec

DECODED_FRAMES = 4  # generated faces held as pixels at a time


def generated_faces(latents: Tensor, windows: Sequence[Window], codec: LatentCodec) -> Iterator[tuple[int, Tensor]]:
    """Decode a clip's latents (1, 4, F, h, w) a few frames at a time: (output frame, (3, 8h, 8w) in [-1, 1])."""
    for span in windows:
        for start in range(span.start, span.stop, DECODED_FRAMES):
            stop = min(start + DECODED_FRAMES, span.stop)
            decoded = codec.decode(latents[0, :, start:stop].transpose(0, 1))  # (f, 3, 8h, 8w)
            yield from zip(range(start, stop), decoded, strict=True)


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
) -> Iterator[Composited]:
    """Put each generated face into its frame; a frame without one passes untouched.

    blend: "mouth" takes only the redrawn lower face, feathered, and leaves eyes and nose the frame's own pixels;
    "reference" pastes the whole crop, with the kept part of it resampled, as published.

    frames: what each output frame shows, in output order. faces: (output frame, face (3, r, r) in [-1, 1]), rising.
    matrices: (N, 2, 3) by source frame. Outside the soft mask every sample of every plane is the source's, bit for bit.
    """
    mask, share = fixed_mask(resolution), mouth_share(resolution) if blend == "mouth" else None
    upcoming = next(faces, None)
    for position, frame in enumerate(frames):
        if upcoming is None or upcoming[0] != position:
            yield Composited(frame, frame.picture)
            continue
        generated, matrix, image = upcoming[1], matrices[frame.index], frame.rgb()
        crop = crop_face(image, matrix, resolution, antialias)
        face = generated if share is not None else composite_crop(generated[None], pixels_of([crop]), mask)[0]
        region = paste_region(image, face, matrix, resolution, antialias, share=share)
        height, width = region.alpha.shape
        before = image[region.top : region.top + height, region.left : region.left + width]
        picture = apply_edit(frame.picture, before, region.pixels, region.left, region.top)
        yield Composited(frame, picture, crop, generated, region)
        upcoming = next(faces, None)
