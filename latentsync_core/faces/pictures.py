"""Small pictures for small networks: parts of a frame, as tensors, resized, on a single thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import LatentSyncError

Region: TypeAlias = tuple[int, int, int, int]
"""A part of a frame: x0, y0, x1, y1 in whole pixels, upper bounds exclusive."""


class NativeFrame(Protocol):
    """A frame in its own pixel format, of which only the parts that are looked at become RGB; see media.Frame."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, 3."""

    def rgb_region(self, region: Region) -> np.ndarray:
        """The RGB of a part: uint8 (h, w, 3)."""

    def rgb_samples(self, rows: int, columns: int) -> np.ndarray:
        """The RGB of every `rows`-th row and `columns`-th column."""

    def released(self) -> "NativeFrame":
        """The frame without what has been converted of it."""


Picture: TypeAlias = np.ndarray | NativeFrame
"""A frame whose faces are looked for: uint8 RGB (H, W, 3), or native."""

NO_FRAMES = "The video holds no frames; expected at least one."


def part_of(frame: Picture, region: Region) -> np.ndarray:
    """A part of a frame as RGB: uint8 (h, w, 3)."""
    x0, y0, x1, y1 = region
    return frame[y0:y1, x0:x1] if isinstance(frame, np.ndarray) else frame.rgb_region(region)


def samples_of(frame: Picture, rows: int, columns: int) -> np.ndarray:
    """Every `rows`-th row and `columns`-th column of a frame as RGB: uint8 (h, w, 3)."""
    return frame[::rows, ::columns] if isinstance(frame, np.ndarray) else frame.rgb_samples(rows, columns)


def kept(frame: Picture) -> Picture:
    """A frame to be looked at again later: of an array a copy, since its owner may reuse it."""
    return frame.copy() if isinstance(frame, np.ndarray) else frame.released()


def require_frame(frame: Picture, index: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of frame `index`, (H, W, 3) uint8 RGB, equal to the `shape` of those before where there are any.

    Raises LatentSyncError for anything else.
    """
    is_array = isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3 and frame.size > 0
    if not (hasattr(frame, "rgb_region") or (is_array and frame.dtype == np.uint8)):
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise LatentSyncError(f"Frame {index} is {found}; expected a uint8 array (height, width, 3) in RGB.")
    if shape is not None and frame.shape != shape:
        raise LatentSyncError(
            f"Frame {index} is {frame.shape[1]}x{frame.shape[0]} pixels, the frames before it "
            f"{shape[1]}x{shape[0]}; bring the whole clip to one size first."
        )
    return frame.shape


def picture_tensor(part: np.ndarray) -> torch.Tensor:
    """(h, w, 3) uint8, any strides -> (3, h, w) uint8 with the same memory order."""
    part = np.ascontiguousarray(part)
    return torch.from_numpy(part if part.flags.writeable else part.copy()).permute(2, 0, 1)


def shrink_picture(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize (3, h, w) uint8, bilinear, antialiased; in uint8, where torch is several times faster than in float."""
    size = (height, width)
    return F.interpolate(picture.unsqueeze(0), size, mode="bilinear", antialias=True, align_corners=False)[0]


@contextmanager
def single_thread() -> Iterator[None]:
    """Compute on one CPU thread inside the block, then on as many as before.

    These networks take 4 ms on one core and no less on two. Where other work (a video decoder) holds the cores, a
    second thread makes every one of their hundred layers wait for it: 300 ms.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
