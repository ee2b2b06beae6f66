"""How many windows the network takes at once: a card that waits between small passes is filled by several windows."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from ..options import DEFAULT_BATCH, check_batch

log = logging.getLogger(__name__)

PEAK_MAPS = 27
"""What a pass holds at its peak, in feature maps of the first level; counted: 26.6, in the first level's feed-forward,
beside the skip connections."""
SIDES = 2  # of the guidance
MOST_AT_ONCE = (
    4  # by itself; eight would pass 2^31 values in a feed-forward at 512 px, which not every kernel can index
)
KEPT_FREE = 0.2  # of the memory, for what the allocator cannot join and for who shares the card

Item = TypeVar("Item")


class WindowBatch:
    """How many windows go through the network at once in a run; one, to its end, once memory did not suffice.

    windows: a number, or "auto": as many as fit into the memory that is free on a CUDA device, one elsewhere, where
    more were not measured to be faster. at_once: that number, as `fit` found it. Raises LatentSyncError for anything
    else.
    """

    def __init__(self, windows: int | str = DEFAULT_BATCH):
        check_batch(windows)
        self.windows = windows
        self.at_once = windows if isinstance(windows, int) else 1

    def fit(self, unet: Any, frames: int, side: int, device: torch.device | str) -> None:
        """For "auto", go by what is free now; windows are of `frames` frames and `side` latent pixels."""
        device, config = torch.device(device), getattr(unet, "config", None)
        if isinstance(self.windows, int) or device.type != "cuda" or config is None:
            return
        each = window_bytes(config.block_out_channels[0], frames, side, unet.dtype)
        self.at_once = windows_that_fit(free_bytes(device), each)

    def go_on_one_by_one(self) -> None:
        """After a memory error; says so, the first time."""
        if self.at_once != 1:
            log.warning("The memory did not suffice for several windows at once; from here on it is one at a time.")
        self.windows = self.at_once = 1


def as_window_batch(batch: WindowBatch | int | str) -> WindowBatch:
    """A number or "auto" as the `WindowBatch` of a single call; one that is given keeps what it has learned."""
    return batch if isinstance(batch, WindowBatch) else WindowBatch(batch)


def window_bytes(channels: int, frames: int, side: int, dtype: torch.dtype) -> int:
    """What a guided pass over one window holds at its peak, beside the weights.

    channels: of the network's first level. frames: of the window. side: latent pixels. dtype: of the activations.
    """
    return PEAK_MAPS * SIDES * frames * channels * side * side * dtype.itemsize


def free_bytes(device: torch.device) -> int:
    """What is free on a CUDA device, with what torch has reserved there and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def windows_that_fit(free: int, each: int) -> int:
    """How many windows of `each` bytes go into `free` bytes: 1 to 4."""
    return min(max(int(free * (1 - KEPT_FREE) / each), 1), MOST_AT_ONCE)


def lots(items: Sequence[Item], windows: Sequence[int], batch: WindowBatch) -> Iterator[list[Item]]:
    """Neighbouring items, each of so many windows, gathered until a batch can be filled from them."""
    lot: list[Item] = []
    held = 0
    for item, count in zip(items, windows, strict=True):
        lot.append(item)
        held += count
        if held >= batch.at_once:
            yield lot
            lot, held = [], 0
    if lot:
        yield lot


def batches(items: Sequence[Item], frames: Callable[[Item], int], batch: WindowBatch) -> Iterator[Sequence[Item]]:
    """Neighbouring items of equally many frames, as many at once as the batch says by then."""
    start = 0
    while start < len(items):
        alike = 1
        while start + alike < len(items) and frames(items[start + alike]) == frames(items[start]):
            alike += 1
        part = items[start : start + min(alike, batch.at_once)]
        yield part
        start += len(part)
