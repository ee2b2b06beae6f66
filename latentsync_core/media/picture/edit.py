"""Change a part of a picture in its own planes, so that every sample that shows an unchanged pixel keeps its bits."""

import av
import numpy as np

from .color import ColorCoding, coding_of
from .planes import (
    PlaneLayout,
    channel_samples,
    copy_picture,
    layout_of,
)


def apply_edit(picture: av.VideoFrame, before: np.ndarray, after: np.ndarray, left: int, top: int) -> av.VideoFrame:
    """A copy of `picture` in which the region at (`left`, `top`) goes from `before` to `after`.

    Args:
        picture: upright, in any format that has a layout: 4:2:0 to 4:4:4, nv12, grey, RGB, 8 to 16 bits.
        before, after: uint8 (h, w, 3), RGB as `to_rgb` gives it, wholly inside the picture.
        left, top: of the region, pixels.
    The difference of the two is added in the picture's own format. Where both are equal,
    luma or RGB stays bit-identical; a chroma sample does where its whole cell is unchanged.
    Raises ValueError when the regions disagree in shape or leave the picture.
    """
    check_region(picture, before, after, left, top)
    edited = copy_picture(picture)
    layout, coding = layout_of(picture), coding_of(picture)
    difference = after.astype(np.float32)
    difference -= before
    height, width = before.shape[:2]
    region = slice(top, top + height), slice(left, left + width)
    peak = 2**coding.bits - 1
    channels = channel_samples(edited)
    if layout.family == "rgb":
        for index, channel in enumerate(channels):
            add(channel[region], difference[:, :, index] * np.float32(peak / 255), peak)
        return edited
    weights = edit_weights(coding)
    add(channels[0][region], weigh(difference, weights[0]), peak)
    if layout.family == "yuv":
        chroma = layout.planes[layout.channels[1][0]]
        means, column, row = cell_means(difference, left, top, chroma=chroma, picture=picture)
        cells = slice(row, row + means.shape[0]), slice(column, column + means.shape[1])
        add(channels[1][cells], weigh(means, weights[1]), peak)
        add(channels[2][cells], weigh(means, weights[2]), peak)
    return edited


def check_region(picture: av.VideoFrame, before: np.ndarray, after: np.ndarray, left: int, top: int) -> None:
    """Raise ValueError unless the two regions agree and lie inside the picture.

    Args:
        picture, before, after, left, top: as of `apply_edit`.
    """
    for name, region in (("before", before), ("after", after)):
        if region.dtype != np.uint8 or region.ndim != 3 or region.shape[2] != 3:
            raise ValueError(f"{name} is {region.dtype} {region.shape}, uint8 (h, w, 3) is needed")
    if before.shape != after.shape:
        raise ValueError(f"before {before.shape} and after {after.shape} differ in shape")
    height, width = before.shape[:2]
    if left < 0 or top < 0 or left + width > picture.width or top + height > picture.height:
        raise ValueError(
            f"a region of {width}x{height} at ({left}, {top}) leaves the picture of {picture.width}x{picture.height}"
        )


def edit_weights(coding: ColorCoding) -> np.ndarray:
    """(3, 3) float32: sample steps of Y, U and V per 8-bit level of R, G and B."""
    scale = np.array([[coding.luma_scale], [coding.chroma_scale], [coding.chroma_scale]])
    return (coding.matrix_from_rgb() * scale / 255).astype(np.float32)


def weigh(difference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted sum of the channels: (h, w, 3) and (3,) -> (h, w) float32."""
    # Spelt out: a matrix product with 3 columns is slower, more so where BLAS starts threads for it.
    red, green, blue = weights
    return difference[:, :, 0] * red + difference[:, :, 1] * green + difference[:, :, 2] * blue


def add(samples: np.ndarray, change: np.ndarray, peak: int) -> None:
    """Add `change` (sample steps, rounded to nearest) to a writable view of samples, held within 0..`peak`."""
    steps = np.rint(change)  # float32 holds every 16-bit sample exactly
    steps += samples
    samples[...] = np.clip(steps, 0, peak, out=steps)


def cell_means(
    difference: np.ndarray, left: int, top: int, chroma: PlaneLayout, picture: av.VideoFrame
) -> tuple[np.ndarray, int, int]:
    """Mean RGB difference of every chroma cell the region touches, and the first cell's column and row.

    Pixels outside the region count as unchanged; a cell cut by the picture's edge is the mean of the pixels it has.

    Args:
        difference: of the region, (h, w, 3) float32.
        left, top: of the region, pixels.
        chroma: the layout of the chroma plane.
        picture: of which the region is part.
    Returns (rows, columns, 3) float32, column, row.
    """
    if chroma.sub_x == chroma.sub_y == 1:
        return difference, left, top
    height, width = difference.shape[:2]
    first_row, first_column = top // chroma.sub_y, left // chroma.sub_x
    rows = -(-(top + height) // chroma.sub_y) - first_row
    columns = -(-(left + width) // chroma.sub_x) - first_column
    padded = np.zeros((rows * chroma.sub_y, columns * chroma.sub_x, 3), np.float32)
    inner_top, inner_left = top - first_row * chroma.sub_y, left - first_column * chroma.sub_x
    padded[inner_top : inner_top + height, inner_left : inner_left + width] = difference
    phases = [padded[y :: chroma.sub_y, x :: chroma.sub_x] for y in range(chroma.sub_y) for x in range(chroma.sub_x)]
    sums = sum(phases[1:], phases[0])
    across = pixels_per_cell(first_column, columns, chroma.sub_x, picture.width)
    down = pixels_per_cell(first_row, rows, chroma.sub_y, picture.height)
    return sums / (down[:, None, None] * across[None, :, None]), first_column, first_row


def pixels_per_cell(first: int, count: int, span: int, size: int) -> np.ndarray:
    """How many of `size` pixels each of `count` cells of `span` pixels holds, float32."""
    starts = (first + np.arange(count)) * span
    return np.minimum(span, size - starts).astype(np.float32)
