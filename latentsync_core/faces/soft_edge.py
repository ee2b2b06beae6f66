"""The soft edge of a pasted crop: its area in the frame, eroded and blurred, as published (REFERENCE, paste)."""

from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

Part: TypeAlias = tuple[slice, slice]
"""Rows and columns of a region."""

EDGE_SHARE = 20  # the soft edge is a twentieth of the crop's mean side
BLUR_BLOCK = 32  # pixels blurred by one matrix product

__all__ = ["Part", "blur", "crop_masks", "nonzero_part", "whole_of"]


def crop_masks(
    x: torch.Tensor, y: torch.Tensor, size: tuple[int, int], part: Part
) -> tuple[torch.Tensor, torch.Tensor]:
    """The crop's area in a part of a region: eroded by 2x2; eroded by a twentieth of its side and blurred.

    Args:
        x, y: crop coordinates (h, w) of the region's pixels; the region holds the whole crop, or ends at the frame.
        size: width and height of the crop.
        part: of the region, which alone is computed; its values do not depend on it.
    Returns both as float32 in [0, 1], as large as the part.
    """
    width, height = size
    area = _inside(x, width) * _inside(y, height)
    hard = _erode(area, 1, 0)
    edge = max(int(hard.sum(dtype=torch.float64).item() ** 0.5) // EDGE_SHARE, 1)  # pixels
    sigma = 0.3 * (edge - 1) + 0.8  # pixels, OpenCV's choice for that size
    around, inner = _widened(part, area.shape, reach=2 * edge + 1)
    # The reference erodes by 2x2, then by 2w x 2w: together the least over offsets -(w+1) .. w-1 on both axes.
    return hard[part], blur(_erode(area[around], edge + 1, edge - 1), edge, sigma)[inner]


def whole_of(plane: torch.Tensor) -> Part:
    """All rows and columns of (h, w)."""
    return slice(0, plane.shape[0]), slice(0, plane.shape[1])


def nonzero_part(plane: torch.Tensor) -> Part:
    """The rows and columns that hold everything above zero in (h, w); empty where there is nothing."""
    if not plane.numel():
        return slice(0, 0), slice(0, 0)
    bounds = []
    for axis in (1, 0):
        used = torch.nonzero(plane.amax(axis)).flatten()
        bounds.append(slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0))
    return bounds[0], bounds[1]


def _widened(part: Part, shape: tuple[int, ...], reach: int) -> tuple[Part, Part]:
    """`part` with `reach` pixels to every side as far as there are, and where in that it lies itself."""
    around, inner = [], []
    for span, size in zip(part, shape, strict=True):
        start, stop = max(0, span.start - reach), min(size, span.stop + reach)
        around.append(slice(start, stop))
        inner.append(slice(span.start - start, span.stop - start))
    return (around[0], around[1]), (inner[0], inner[1])


def _inside(coordinate: torch.Tensor, size: int) -> torch.Tensor:
    """1 within [0, size - 1], fading to 0 over one pixel to either side: a bilinear warp of ones padded with zeros."""
    return torch.minimum(coordinate + 1, size - coordinate).clamp_(0, 1)


def _erode(mask: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Least value over the window reaching ``before`` pixels up and left and ``after`` down and right.

    The mask is a product of two concave ramps, so over a window it is least at one of the window's corners: two reads
    per axis suffice for any size. Beyond the border the border repeats, hence a frame's edge erodes nothing.
    """
    for axis, size in enumerate(mask.shape):
        index = torch.arange(size)
        low, high = (index - before).clamp_(min=0), (index + after).clamp_(max=size - 1)
        mask = torch.minimum(mask.index_select(axis, low), mask.index_select(axis, high))
    return mask


def blur(mask: torch.Tensor, edge: int, sigma: float) -> torch.Tensor:
    """Gaussian blur over 2 edge + 1 pixels, mirrored at the border.

    The reference mirrors at the frame's border too; at a border inside the frame only zeros are mirrored.
    """
    offset = torch.arange(-edge, edge + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel /= kernel.sum()
    mask = (
        mask.double()
    )  # the order of a sum depends on the region's size; in float64 that does not change the float32 result
    return _convolve_rows(_convolve_rows(mask, kernel).T, kernel).T.float().clamp_(0, 1).contiguous()


def _convolve_rows(mask: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Convolve (h, w) down its columns with an odd symmetric kernel, as matrix products over blocks of rows."""
    height, width = mask.shape
    reach = len(kernel) // 2
    blocks = -(-height // BLUR_BLOCK)
    rows = torch.from_numpy(np.pad(np.arange(height), reach, mode="reflect"))
    rows = F.pad(rows, (0, blocks * BLUR_BLOCK - height))
    span = BLUR_BLOCK + 2 * reach
    overlapping = mask[rows].unfold(0, span, BLUR_BLOCK)  # (blocks, w, span), a view
    band = F.pad(kernel, (0, BLUR_BLOCK)).repeat(BLUR_BLOCK)[:-BLUR_BLOCK].view(BLUR_BLOCK, span)  # kernel, shifted
    blurred = torch.bmm(band.expand(blocks, -1, -1), overlapping.transpose(1, 2))  # (blocks, BLUR_BLOCK, w)
    return blurred.view(-1, width)[:height]  # (h, w)
