"""Crop the aligned face from a frame."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from .align import crop_size
from .resample import (
    affine_coordinates,
    image_from_planes,
    invert_affine,
    lanczos4_resize,
    planes_from_image,
    prefilter_scale,
    resized_affine,
    sample_bilinear,
    similarity_scale,
)

OUTSIDE = 127  # grey level where the crop extends beyond the frame
ROUNDING_GUARD = 1e-3  # grey levels; rounding error just below a whole level must not lower it by one

__all__ = ["crop_face", "warp_crop"]


def crop_face(image: np.ndarray, matrix: np.ndarray, resolution: int, antialias: bool = False) -> np.ndarray:
    """The aligned face as the model sees it.

    image: uint8 RGB (H, W, 3); matrix: (2, 3) of `alignment_matrices`. Returns uint8 (resolution, resolution, 3).
    ``antialias`` prefilters faces so large that the warp would skip pixels; the reference does not.
    Source: REFERENCE, crop: bilinear warp, then Lanczos4.
    """
    return lanczos4_resize(warp_crop(image, matrix, resolution, antialias), resolution, resolution)


def warp_crop(image: np.ndarray, matrix: np.ndarray, resolution: int, antialias: bool = False) -> np.ndarray:
    """The aligned crop before its resize: uint8 (height, width, 3) of `crop_size`, grey (127) beyond the frame."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected a uint8 image (height, width, 3), got {image.dtype} {image.shape}")
    width, height = crop_size(resolution)
    inverse = invert_affine(matrix)
    left, top, right, bottom = _source_box(inverse, width, height, image.shape)
    if right <= left or bottom <= top:
        return np.full((height, width, 3), OUTSIDE, np.uint8)
    planes = planes_from_image(image[top:bottom, left:right])
    inverse[:, 2] -= (left, top)
    if antialias:
        planes, inverse = _shrink(planes, inverse, prefilter_scale(similarity_scale(matrix)))
    x, y = affine_coordinates(inverse, left=0, top=0, width=width, height=height)
    # Relative to the grey level, the warp's zero padding is the grey itself, blended over the frame's border pixel.
    crop = sample_bilinear(planes.float() - OUTSIDE, x, y, padding="zeros").add_(OUTSIDE)
    # Levels are truncated, not rounded, as in the reference.
    return image_from_planes(crop.add_(ROUNDING_GUARD).to(torch.uint8))


def _source_box(inverse: np.ndarray, width: int, height: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the part of the image that a crop of that size reads."""
    corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]])
    reached = inverse @ corners  # (2, 4)
    limit = np.array([shape[1], shape[0]])
    low = np.floor(reached.min(axis=1)).clip(0, limit).astype(int)
    high = (np.floor(reached.max(axis=1)) + 2).clip(0, limit).astype(int)
    return low[0], low[1], high[0], high[1]


def _shrink(planes: torch.Tensor, inverse: np.ndarray, scale: float) -> tuple[torch.Tensor, np.ndarray]:
    """Reduce uint8 planes (3, h, w) with an antialias filter, and the map into them accordingly."""
    if scale >= 1:
        return planes, inverse
    source = (planes.shape[1], planes.shape[2])
    target = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
    planes = F.interpolate(planes[None], size=target, mode="bilinear", antialias=True)[0]
    resized = resized_affine(source, target)
    return planes, resized[:, :2] @ inverse + np.pad(resized[:, 2:], ((0, 0), (2, 0)))
