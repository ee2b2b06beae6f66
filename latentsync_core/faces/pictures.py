"""Small pictures for small networks: parts of a frame as tensors, resized, on a single thread."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import LatentSyncError

NO_FRAMES = "The video holds no frames; expected at least one."


def require_frame(frame: np.ndarray, index: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of frame `index`, (H, W, 3) uint8 RGB, equal to the `shape` of those before where there are any.

    Raises LatentSyncError for anything else.
    """
    is_picture = isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3 and frame.size > 0
    if not is_picture or frame.dtype != np.uint8:
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
