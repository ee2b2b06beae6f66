"""Faces as latents: each source frame's masked and whole face, encoded once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..diffusion import Window, disjoint_windows
from ..faces import fixed_mask, latent_mask
from ..models.vae import LatentCodec, Moments
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)

DECODED_FRAMES = 4  # generated faces held as pixels at a time

HideMouth = Callable[[Tensor], Tensor]  # faces (f, 3, h, w) in [-1, 1] -> the same without what is to be redrawn


@dataclass(frozen=True)
class FaceLatents:
    """Latents of the faces of a clip, one row per source frame that is synced.

    masked, reference: (rows, 4, h, w) float32, scaled: the crop with the mouth masked out, and the whole crop.
    mask: (h, w) float32 at latent size, 1 = kept. row_of: source frame -> row. resolution: of the crops in pixels.
    embedded: whether the embedded VAE made them, where that is known; latents of two VAEs look alike and are not.
    error: known_face.face_error of that VAE, where it was measured. generator: for whom they were cut and masked.
    """

    masked: Tensor
    reference: Tensor
    mask: Tensor
    row_of: dict[int, int]
    resolution: int
    embedded: bool | None = None
    error: float | None = None
    generator: str = "latentsync"

    def condition(self, source_frames: Sequence[int]) -> Tensor:
        """The nine conditioning channels of some frames: (1, 9, f, h, w): mask, masked, reference."""
        rows = torch.tensor([self.row_of[frame] for frame in source_frames])
        mask = self.mask.expand(len(rows), 1, *self.mask.shape)
        stacked = torch.cat([mask, self.masked[rows], self.reference[rows]], dim=1)
        return rearrange(stacked, "f c h w -> 1 c f h w")

    def per_frame(self, source_frames: Sequence[int]) -> Tensor:
        """What their generator's network is given of some frames, one by one: (f, 9 or 8, h, w)."""
        if self.generator == "musetalk":
            return self.pairs(source_frames)
        return rearrange(self.condition(source_frames), "1 c f h w -> f c h w").contiguous()

    def pairs(self, source_frames: Sequence[int]) -> Tensor:
        """Masked and reference latents of some frames: (f, 8, h, w)."""
        rows = torch.tensor([self.row_of[frame] for frame in source_frames])
        return torch.cat([self.masked[rows], self.reference[rows]], dim=1)


@dataclass(frozen=True)
class FaceMoments:
    """The posteriors of some faces, with the mouth masked out and whole: what of their latents no seed changes."""

    masked: Moments
    whole: Moments

    def sample(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Masked and whole latents, (f, 4, h, w) each, whose noise is drawn in the reference's order."""
        masked = self.masked.sample(generator)
        return masked, self.whole.sample(generator)


def pixels_of(crops: Sequence[np.ndarray]) -> Tensor:
    """uint8 crops (h, w, 3) -> (f, 3, h, w) float32 in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)  # (f, 3, h, w)
    return stacked.float() / 127.5 - 1


def hide_lower_face(faces: Tensor) -> Tensor:
    """Faces (f, 3, r, r) in [-1, 1] with 0, a medium grey, where LatentSync redraws them (REFERENCE section 1)."""
    return faces * fixed_mask(faces.shape[-1])


def encode_faces(
    crops: Iterable[tuple[int, np.ndarray]],
    batches: Sequence[Sequence[int]],
    codec: LatentCodec,
    generator: torch.Generator,
    *,
    hide_mouth: HideMouth = hide_lower_face,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> FaceLatents:
    """Encode the face of every source frame that some window shows (REFERENCE section 1, "Latents and mask").

    crops: (source frame, uint8 (r, r, 3)) of those in `batches`, in that order.
    batches: source frames in the order of first showing, grouped by window: the latents' noise is drawn in the
    reference's order, per window first for the masked faces, then for the reference faces.
    generator: a CPU generator, after the clip's noise was drawn from it. hide_mouth: what the masked faces lack.
    """
    stream = iter(crops)
    masked, reference, row_of = [], [], {}
    total = sum(map(len, batches))
    for batch in batches:
        faces = []
        for expected in batch:
            check_cancelled()
            index, crop = next(stream)
            if index != expected:
                raise ValueError(f"frame {index} came where frame {expected} was expected")
            faces.append(crop)
            row_of[expected] = len(row_of)
        for latents, drawn in zip(
            (masked, reference), face_moments(faces, codec, check_cancelled, hide_mouth).sample(generator), strict=True
        ):
            latents.append(drawn)
        on_progress(len(row_of), total)
    mask = fixed_mask(len(crop))
    return FaceLatents(torch.cat(masked), torch.cat(reference), latent_mask(mask), row_of, len(mask))


def face_moments(
    faces: Sequence[np.ndarray],
    codec: LatentCodec,
    check_cancelled: CheckCancelled = never_cancelled,
    hide_mouth: HideMouth = hide_lower_face,
) -> FaceMoments:
    """Encode one batch of crops, uint8 (r, r, 3) each."""
    pixels = pixels_of(faces)
    check_cancelled()
    masked = codec.encode(hide_mouth(pixels))
    check_cancelled()
    return FaceMoments(masked, codec.encode(pixels))


def batches_by_window(windows: Iterable[Window], source: Sequence[int]) -> list[list[int]]:
    """Source frames grouped by the window that shows them first; frames shown again are not listed again."""
    seen: set[int] = set()
    batches = []
    for span in windows:
        fresh = [f for f in dict.fromkeys(source[span.start : span.stop]) if f not in seen]
        seen.update(fresh)
        if fresh:
            batches.append(fresh)
    return batches


def decoded_faces(latents: Tensor, codec: LatentCodec) -> Iterator[Tensor]:
    """Decode latents (1, 4, F, h, w) a few frames at a time: faces (3, 8h, 8w) in [-1, 1], in order."""
    for part in latents[0].split(DECODED_FRAMES, dim=1):  # (4, f, h, w)
        yield from codec.decode(part.transpose(0, 1))


def generated_faces(latents: Tensor, windows: Sequence[Window], codec: LatentCodec) -> Iterator[tuple[int, Tensor]]:
    """Decode what the windows of a clip's latents hold: (output frame, face (3, 8h, 8w) in [-1, 1])."""
    for span in disjoint_windows(windows):
        faces = decoded_faces(latents[:, :, span.start : span.stop], codec)
        yield from zip(range(span.start, span.stop), faces, strict=True)
