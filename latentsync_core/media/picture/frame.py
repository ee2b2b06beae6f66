"""One picture of a clip, its place and its time."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import av
import numpy as np

from .color import Region, sampled_rgb, to_rgb


@dataclass(frozen=True)
class Frame:
    """One upright picture: `index` in the source, `time` in seconds after the first, native planes, RGB on demand."""

    index: int
    time: Fraction
    picture: av.VideoFrame

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of `rgb()`: height, width, 3."""
        return self.picture.height, self.picture.width, 3

    @cached_property
    def _rgb(self) -> np.ndarray:
        rgb = to_rgb(self.picture)
        rgb.flags.writeable = False
        return rgb

    def rgb(self) -> np.ndarray:
        """The picture as RGB, uint8 (H, W, 3), full range, not writable; converted once per frame."""
        return self._rgb

    def rgb_region(self, region: Region) -> np.ndarray:
        """The part `region` (left, top, right, bottom) of `rgb()`, converted alone, at its share of the cost."""
        left, top, right, bottom = region
        if "_rgb" in self.__dict__ or (right - left, bottom - top) == (self.picture.width, self.picture.height):
            return self._rgb[top:bottom, left:right]
        return to_rgb(self.picture, region)

    def rgb_samples(self, rows: int, columns: int) -> np.ndarray:
        """Every `rows`-th row and `columns`-th column of `rgb()`, converted alone."""
        return self._rgb[::rows, ::columns] if "_rgb" in self.__dict__ else sampled_rgb(self.picture, rows, columns)

    def released(self) -> "Frame":
        """The frame without the RGB converted so far, to be kept."""
        return Frame(self.index, self.time, self.picture)
