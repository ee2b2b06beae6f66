"""Upright boxes of whole pixels: cut one out of a frame, and paste a new face into it.

A box is left, top, right, bottom in pixels of its frame, upper bounds exclusive; parts of it may lie outside.
"""

from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from .paste import PastedRegion
from .resample import image_from_planes, planes_from_image
from .soft_edge import nonzero_part

Box: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom, whole pixels."""

WHITE = 255

__all__ = ["Box", "box_region", "crop_box", "moved_box", "paste_box"]


def crop_box(image: np.ndarray, box: Box) -> np.ndarray:
    """The part of a frame inside a box: uint8 (bottom - top, right - left, 3).

    image: uint8 RGB (H, W, 3). Outside the frame its border pixels repeat: grey there would be an edge that no face
    has, which a network redraws and a mesh takes for a contour. Raises ValueError for an empty box or another image.
    """
    require_image(image)
    left, top, right, bottom = require_box(box)
    rows = np.arange(top, bottom).clip(0, image.shape[0] - 1)
    columns = np.arange(left, right).clip(0, image.shape[1] - 1)
    return image[rows[:, None], columns]


def paste_box(
    image: np.ndarray, face: torch.Tensor, box: Box, share: torch.Tensor, limit: np.ndarray | None = None
) -> PastedRegion:
    """A generated face blended into its box, ready to be written into the frame; where its share is 0 nothing changes.

    Args:
        image: uint8 RGB (H, W, 3).
        face: (3, h, w) in [-1, 1]; stretched to the box where it has another size (bicubic, antialiased).
        box: that it was cut out of, wholly or partly inside the frame.
        share: (bottom - top, right - left) in [0, 1], the face's share in every pixel of the box.
        limit: (H, W) in [0, 1] in image coordinates, multiplies that.
    The region is the part that changes; empty where that is none. Raises ValueError for shapes that disagree.
    """
    require_image(image)
    left, top, right, bottom = require_box(box)
    if face.ndim != 3 or face.shape[0] != 3:
        raise ValueError(f"expected a face (3, height, width), got {tuple(face.shape)}")
    if share.shape != (bottom - top, right - left):
        raise ValueError(f"expected a share {(bottom - top, right - left)} for the box {box}, got {tuple(share.shape)}")
    x0, y0, x1, y1 = box_region(box, image.shape[0], image.shape[1])
    under = image[y0:y1, x0:x1]
    if not under.size:  # beside the frame
        return PastedRegion(x0, y0, under.copy(), np.zeros(under.shape[:2], np.float32))
    visible = (..., slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    alpha = share[visible].to("cpu", torch.float32)
    if limit is not None:
        alpha = alpha * torch.from_numpy(np.asarray(limit[y0:y1, x0:x1], np.float32))
    rows, columns = nonzero_part(alpha)
    alpha = alpha[rows, columns].contiguous()
    drawn = _levels(face, bottom - top, right - left)[visible][:, rows, columns]
    blended = torch.lerp(planes_from_image(under[rows, columns]).float(), drawn, alpha).round_().to(torch.uint8)
    return PastedRegion(x0 + columns.start, y0 + rows.start, image_from_planes(blended), alpha.numpy())


def box_region(box: Box, height: int, width: int) -> Box:
    """The part of a box inside a frame: all that cropping or pasting it reads or writes. May be empty."""
    left, top, right, bottom = box
    x0, x1 = (min(max(x, 0), width) for x in (left, right))
    y0, y1 = (min(max(y, 0), height) for y in (top, bottom))
    return x0, y0, x1, y1


def moved_box(box: Box, left: int, top: int) -> Box:
    """The same box in a part of the frame that begins at (left, top)."""
    return box[0] - left, box[1] - top, box[2] - left, box[3] - top


def require_image(image: np.ndarray) -> None:
    """Raise ValueError unless `image` is uint8 (height, width, 3) with at least one pixel."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"expected a uint8 image (height, width, 3), got {image.dtype} {image.shape}")


def require_box(box: Box) -> Box:
    """The box as four ints. Raises ValueError where it is empty, as the box of a frame without a face is."""
    left, top, right, bottom = (int(edge) for edge in box)
    if right <= left or bottom <= top:
        raise ValueError(f"expected a box with left < right and top < bottom, got {(left, top, right, bottom)}")
    return left, top, right, bottom


def _levels(face: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Grey levels 0..255 of a face (3, h, w) in [-1, 1], stretched to (3, height, width) where it has another size."""
    face = face.detach().to("cpu", torch.float32)
    if face.shape[1:] != (height, width):
        size = (height, width)
        face = F.interpolate(face[None], size=size, mode="bicubic", align_corners=False, antialias=True)[0]
    return ((face + 1) * (WHITE / 2)).clamp(0, WHITE)
