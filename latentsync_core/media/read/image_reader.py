"""A short clip held as an image tensor, read as if it were a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from ...errors import LatentSyncError
from ..picture.frame import Frame
from .info import VideoInfo

if TYPE_CHECKING:  # reading and writing media needs no torch
    import torch


class ImageReader:
    """Frames of an image batch (F, H, W, 3), float 0..1, at a constant rate; the interface of VideoReader."""

    def __init__(self, images: torch.Tensor, fps: Fraction):
        if images.dim() != 4 or images.shape[-1] < 3 or not len(images):
            raise LatentSyncError(
                f"The images have the shape {tuple(images.shape)}; (frames, height, width, 3) is needed."
            )
        self.images, self.path, self.damaged = images, Path("images"), 0
        frames, height, width = images.shape[:3]
        self.info = VideoInfo(
            path=self.path,
            width=width,
            height=height,
            fps=fps,
            duration=float(frames / fps),
            frames=frames,
            pixel_format="rgb24",
            codec="images",
            rotation=0,
            mirrored=False,
            color_range=0,
            color_space=2,
            color_primaries=2,
            color_trc=2,
            sample_aspect_ratio=None,
            has_audio=False,
            alpha=images.shape[-1] > 3,
        )

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *_) -> None:
        """Nothing to close."""

    @property
    def times(self) -> tuple[Fraction, ...]:
        """Seconds from the first frame of every frame."""
        return tuple(index / self.info.fps for index in range(len(self.images)))

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames `start` to `stop` (exclusive, or the end) in order."""
        return self.frames_at(range(start, len(self.images) if stop is None else min(stop, len(self.images))))

    def frames_at(self, indices: Iterable[int]) -> Iterator[Frame]:
        """Yield the frames at `indices` in that order."""
        for index in indices:
            levels = (self.images[index, :, :, :3].cpu().float() * 255).round().clamp(0, 255).byte()
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(levels.numpy()), format="rgb24")
            yield Frame(index, index / self.info.fps, picture)
