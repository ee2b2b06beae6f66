"""One picture of a clip, its place and its time."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import av
import numpy as np

from .color import Region, to_rgb


@dataclass(frozen=True)
class Frame:
    """One upright picture: `index` in the source, `time` in seconds after the first, native planes, RGB on demand."""

    index: int
    time: Fraction
    picture: av.VideoFrame

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
        if "_rgb" in self.__dict__:
            left, top, right, bottom = region
            return self._rgb[top:bottom, left:right]
        return to_rgb(self.picture, region)
