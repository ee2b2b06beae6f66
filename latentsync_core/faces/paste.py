"""Paste a generated face back into its frame, changing no pixel beyond a soft edge inside the crop."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from .align import crop_size
from .resample import (
    affine_coordinates,
    image_from_planes,
    invert_affine,
    planes_from_image,
    prefilter_scale,
    resized_affine,
    sample_bilinear,
    similarity_scale,
)
from .soft_edge import Part, crop_masks, nonzero_part, whole_of

WHITE = 255
OUTSIDE = 127  # the reference's fill value beyond the face, whose own range is [-1, 1]
REGION_MARGIN = 4  # pixels around the crop's bounding box; the soft mask reaches one beyond it

__all__ = [
    "PastedRegion",
    "face_region",
    "paste_face",
    "paste_region",
    "shifted_matrix",
    "soft_mask",
]


@dataclass(frozen=True)
class PastedRegion:
    """The part of a frame that pasting a face may change.

    ``pixels`` (h, w, 3) uint8 replace the frame's from ``(left, top)`` on; ``alpha`` (h, w) float32 in [0, 1] is the
    generated face's share in each. Empty where the face is wholly outside the frame.
    """

    left: int
    top: int
    pixels: np.ndarray
    alpha: np.ndarray

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns in the frame: ``image[region.slices] = region.pixels``."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def paste_face(
    image: np.ndarray, face: torch.Tensor, matrix: np.ndarray, resolution: int, antialias: bool = False
) -> np.ndarray:
    """A copy of the frame with the generated face in it: uint8 (H, W, 3), bit-identical where the soft mask is zero.

    Args:
        image: uint8 RGB (H, W, 3).
        face: (3, h, w) in [-1, 1], any size.
        matrix: the alignment matrix (2, 3) it was cropped with.
        resolution: of that crop, pixels.
        antialias: see `paste_region`.
    Source: REFERENCE, paste.
    """
    region = paste_region(image, face, matrix, resolution, antialias)
    pasted = image.copy()
    pasted[region.slices] = region.pixels
    return pasted


def paste_region(
    image: np.ndarray,
    face: torch.Tensor,
    matrix: np.ndarray,
    resolution: int,
    antialias: bool = False,
    *,
    share: torch.Tensor | None = None,
    limit: np.ndarray | None = None,
) -> PastedRegion:
    """`paste_face` for the face's region only, ready to be written into the frame.

    Seven arguments: the two masks are independent of one another and lie in different coordinates.

    Args:
        image, face, matrix, resolution: as of `paste_face`.
        antialias: prefilter a face pasted at less than half its size, and repeat the face's border under the outermost
            part of the soft edge. Without it both are as in the reference, which aliases and leaves a dark line of up
            to three grey levels at the right and the bottom.
        share: (h, w) in [0, 1] in crop coordinates, the face's share in every pixel, as of `mouth_share`; by default
            the whole crop is pasted, as in the reference.
        limit: (H, W) in [0, 1] in image coordinates, multiplies that; where it is 0 nothing changes.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected a uint8 image (height, width, 3), got {image.dtype} {image.shape}")
    if face.ndim != 3 or face.shape[0] != 3:
        raise ValueError(f"expected a face (3, height, width), got {tuple(face.shape)}")
    left, top, right, bottom = face_region(matrix, image.shape[0], image.shape[1], resolution)
    under = image[top:bottom, left:right]
    if not under.size:
        return PastedRegion(left, top, under.copy(), np.zeros(under.shape[:2], np.float32))
    size = crop_size(resolution)
    x, y = affine_coordinates(matrix, left, top, width=right - left, height=bottom - top)
    part = whole_of(x) if share is None else _part_of_share(share, matrix, resolution, image.shape)
    hard, alpha = crop_masks(x, y, size, part)
    left, top, x, y, under = left + part[1].start, top + part[0].start, x[part], y[part], under[part]
    if share is not None:
        alpha *= _warp_share(share, x, y, size)
    if limit is not None:
        alpha *= torch.from_numpy(limit[top : top + alpha.shape[0], left : left + alpha.shape[1]])
    if share is not None or limit is not None:
        part = nonzero_part(alpha)
        left, top = left + part[1].start, top + part[0].start
        x, y, hard, alpha, under = (plane[part] for plane in (x, y, hard, alpha, under))
    face = face.detach().to("cpu", torch.float32)
    if antialias:
        warped = _warp_antialiased(face, x, y, size, scale=1 / similarity_scale(matrix))
    else:
        warped = _warp_as_reference(face, x, y, size).mul_(hard)
    blended = torch.lerp(planes_from_image(under).float(), warped, alpha).round_().to(torch.uint8)
    return PastedRegion(left, top, image_from_planes(blended), alpha.numpy())


def soft_mask(
    matrix: np.ndarray, height: int, width: int, resolution: int, share: torch.Tensor | None = None
) -> np.ndarray:
    """The generated face's share in every pixel of a frame, as `paste_region` uses it: float32 (height, width).

    Args:
        matrix: the alignment matrix (2, 3).
        height, width: of the frame, pixels.
        resolution: of the crop, pixels.
        share: as of `paste_region`.
    """
    mask = np.zeros((height, width), np.float32)
    left, top, right, bottom = face_region(matrix, height, width, resolution)
    if right > left and bottom > top:
        x, y = affine_coordinates(matrix, left, top, width=right - left, height=bottom - top)
        alpha = crop_masks(x, y, crop_size(resolution), whole_of(x))[1]
        if share is not None:
            alpha *= _warp_share(share, x, y, crop_size(resolution))
        mask[top:bottom, left:right] = alpha.numpy()
    return mask


def _part_of_share(share: torch.Tensor, matrix: np.ndarray, resolution: int, shape: tuple[int, ...]) -> Part:
    """The rows and columns of `face_region` in which a share can be above zero: little more than half of them.

    Args:
        share: (h, w) in crop coordinates.
        matrix, resolution: as of `paste_face`.
        shape: of the frame.
    """
    size = crop_size(resolution)
    to_share = resized_affine(size[::-1], tuple(share.shape))
    bounds = []
    for axis, span in enumerate(reversed(nonzero_part(share))):
        # A bilinear read reaches one sample beyond; at its border, which repeats, the share ends where the crop does.
        low, high = ((place - to_share[axis, 2]) / to_share[axis, axis] for place in (span.start - 1, span.stop))
        count = share.shape[1 - axis]
        bounds.append((low if span.start > 0 else -1, high if span.stop < count else size[axis]))
    (x0, x1), (y0, y1) = bounds
    left, top, right, bottom = _frame_box(matrix, (x0, y0, x1, y1), shape[0], shape[1])
    origin = face_region(matrix, shape[0], shape[1], resolution)
    return slice(top - origin[1], bottom - origin[1]), slice(left - origin[0], right - origin[0])


def _warp_share(share: torch.Tensor, x: torch.Tensor, y: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A (h, w) share in crop coordinates, sampled at the crop coordinates of some frame pixels."""
    width, height = size
    to_share = resized_affine((height, width), tuple(share.shape))
    x, y = (coordinate * to_share[axis, axis] + to_share[axis, 2] for axis, coordinate in enumerate((x, y)))
    return sample_bilinear(share[None], x, y, padding="border")[0]


def face_region(matrix: np.ndarray, height: int, width: int, resolution: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom of all that cropping or pasting a face can read or write in a frame.

    The crop's bounding box, widened by a margin, inside the frame. Cropping and pasting give the same on that part of
    the frame alone, with the matrix of `shifted_matrix`.
    """
    crop_width, crop_height = crop_size(resolution)
    # The warped ones reach one crop pixel beyond the crop's outermost pixel centres.
    return _frame_box(matrix, (-1, -1, crop_width, crop_height), height, width)


def _frame_box(
    matrix: np.ndarray, box: tuple[float, float, float, float], height: int, width: int
) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a part of the crop (the same, in its coordinates) in a frame, with a margin."""
    x0, y0, x1, y1 = box
    reached = invert_affine(matrix) @ np.array([[x0, x1, x0, x1], [y0, y0, y1, y1], [1, 1, 1, 1]])  # (2, 4)
    limit = np.array([width, height])
    left, top = (np.floor(reached.min(axis=1)) - REGION_MARGIN).clip(0, limit).astype(int).tolist()
    right, bottom = (np.ceil(reached.max(axis=1)) + REGION_MARGIN).clip(0, limit).astype(int).tolist()
    return left, top, right, bottom


def shifted_matrix(matrix: np.ndarray, left: int, top: int) -> np.ndarray:
    """An alignment matrix (2, 3) for a part of the frame that begins at (left, top)."""
    shifted = np.array(matrix, np.float64)
    shifted[:, 2] += shifted[:, :2] @ (left, top)
    return shifted


def _warp_as_reference(face: torch.Tensor, x: torch.Tensor, y: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Grey levels of the face (3, h, w) at crop coordinates. Beyond the face it fades to 127, clamped to white."""
    width, height = size
    face = _resize(face, height, width) - OUTSIDE
    return _levels(sample_bilinear(face, x, y, padding="zeros").add_(OUTSIDE))


def _warp_antialiased(
    face: torch.Tensor, x: torch.Tensor, y: torch.Tensor, size: tuple[int, int], *, scale: float
) -> torch.Tensor:
    """The same, prefiltered where the warp would alias; beyond the face its border pixels repeat."""
    width, height = size
    shrink = prefilter_scale(scale)
    face = _resize(face, max(1, round(height * shrink)), max(1, round(width * shrink)))
    to_face = resized_affine((height, width), (face.shape[1], face.shape[2]))
    x, y = (coordinate * to_face[axis, axis] + to_face[axis, 2] for axis, coordinate in enumerate((x, y)))
    return _levels(sample_bilinear(face, x, y, padding="border"))


def _resize(face: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return F.interpolate(face[None], size=(height, width), mode="bicubic", align_corners=False, antialias=True)[0]


def _levels(face: torch.Tensor) -> torch.Tensor:
    return face.add_(1).mul_(WHITE / 2).clamp_(0, WHITE)
