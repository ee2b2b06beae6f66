"""Faces as the UNet sees them: each source frame's masked and reference latents, encoded once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..audio import AudioTokens
from ..diffusion import Window
from ..diffusion.conditioning import TrainedConditioning
from ..faces import (
    crop_face,
    face_region,
    fixed_mask,
    latent_mask,
    shifted_matrix,
)
from ..media import Frame
from ..models.vae import LatentCodec, Moments
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)


@dataclass(frozen=True)
class Alignment:
    """How every face of a clip is cut out of its frame.

    matrices: (N, 2, 3) from frame to crop by source frame, NaN where there is no face. resolution: of the crop in
    pixels. antialias: whether large faces are prefiltered before they are shrunk; the reference does not.
    """

    matrices: np.ndarray
    resolution: int
    antialias: bool = False

    def crop(self, frame: Frame) -> np.ndarray:
        """The face of a source frame: uint8 (r, r, 3)."""
        image, matrix, _, _ = face_of(frame, self.matrices[frame.index], self.resolution)
        return crop_face(image, matrix, self.resolution, self.antialias)

    def crops(self, frames: Iterable[Frame]) -> Iterator[tuple[int, np.ndarray]]:
        """(source frame, crop) of each of some frames, as they come."""
        return ((frame.index, self.crop(frame)) for frame in frames)


@dataclass(frozen=True)
class FaceLatents:
    """Latents of the faces of a clip, one row per source frame that is synced.

    masked, reference: (rows, 4, h, w) float32, scaled: the crop with the mouth masked out, and the whole crop.
    mask: (h, w) float32 at latent size, 1 = kept. row_of: source frame -> row. resolution: of the crops in pixels.
    embedded: whether the embedded VAE made them, where that is known; latents of two VAEs look alike and are not.
    error: known_face.face_error of that VAE, where it was measured.
    """

    masked: Tensor
    reference: Tensor
    mask: Tensor
    row_of: dict[int, int]
    resolution: int
    embedded: bool | None = None
    error: float | None = None

    def condition(self, source_frames: Sequence[int]) -> Tensor:
        """The nine conditioning channels of some frames: (1, 9, f, h, w): mask, masked, reference."""
        rows = torch.tensor([self.row_of[frame] for frame in source_frames])
        mask = self.mask.expand(len(rows), 1, *self.mask.shape)
        stacked = torch.cat([mask, self.masked[rows], self.reference[rows]], dim=1)
        return rearrange(stacked, "f c h w -> 1 c f h w")


@dataclass(frozen=True)
class FaceMoments:
    """The posteriors of some faces, with the mouth masked out and whole: what of their latents no seed changes."""

    masked: Moments
    whole: Moments

    def sample(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Masked and whole latents, (f, 4, h, w) each, whose noise is drawn in the reference's order."""
        masked = self.masked.sample(generator)
        return masked, self.whole.sample(generator)


@dataclass(frozen=True)
class ClipConditioning:
    """What every window of a clip is denoised from, gathered window by window so that no clip-long copy exists.

    source: the source frame behind each output frame. trained: how the checkpoint was conditioned.
    """

    faces: FaceLatents
    tokens: AudioTokens
    source: Sequence[int]
    trained: TrainedConditioning = TrainedConditioning()

    def window(self, span: Window) -> tuple[Tensor, Tensor, Tensor | None]:
        """condition (1 or 2, 9, f, h, w), voice tokens (f, n, d) and null tokens (f, n, d), None = zeros, of `span`."""
        part = slice(span.start, span.stop)
        voice, condition = self.tokens[part], self.faces.condition(self.source[part])
        return self.trained.with_null(condition), voice, self.trained.learned_null(voice)


def pixels_of(crops: Sequence[np.ndarray]) -> Tensor:
    """uint8 crops (h, w, 3) -> (f, 3, h, w) float32 in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)  # (f, 3, h, w)
    return stacked.float() / 127.5 - 1


def face_of(frame: Frame, matrix: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The part of a frame around its face: RGB uint8 (h, w, 3), the matrix for it, and its left and top in pixels.

    A face is a small part of most frames, and converting a whole one costs more than all else done to it.
    """
    height, width = frame.picture.height, frame.picture.width
    left, top, right, bottom = face_region(matrix, height, width, resolution)
    return frame.rgb_region((left, top, right, bottom)), shifted_matrix(matrix, left, top), left, top


def encode_faces(
    crops: Iterable[tuple[int, np.ndarray]],
    batches: Sequence[Sequence[int]],
    codec: LatentCodec,
    generator: torch.Generator,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> FaceLatents:
    """Encode the face of every source frame that some window shows (REFERENCE section 1, "Latents and mask").

    crops: (source frame, uint8 (r, r, 3)) of those in `batches`, in that order, as `Alignment.crops` gives them.
    batches: source frames in the order of first showing, grouped by window: the latents' noise is drawn in the
    reference's order, per window first for the masked faces, then for the reference faces.
    generator: a CPU generator, after the clip's noise was drawn from it.
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
            (masked, reference), face_moments(faces, codec, check_cancelled).sample(generator), strict=True
        ):
            latents.append(drawn)
        on_progress(len(row_of), total)
    mask = fixed_mask(len(crop))
    return FaceLatents(torch.cat(masked), torch.cat(reference), latent_mask(mask), row_of, len(mask))


def face_moments(faces: Sequence[np.ndarray], codec: LatentCodec, check_cancelled: CheckCancelled) -> FaceMoments:
    """Encode one batch of crops, uint8 (r, r, 3) each."""
    pixels = pixels_of(faces)
    check_cancelled()
    masked = codec.encode(pixels * fixed_mask(pixels.shape[-1]))
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
