"""Read a video as a stream of upright pictures with their true times, forwards, backwards or by any list of indices.

The picture returned for index i is always bit-identical to the i-th of a straight decode. Going back works by seeking to
a key picture and decoding from there, and every picture so reached is compared with a checksum taken on the way forwards
(open groups of pictures, refresh without key pictures and broken indexes all make a seek lie). Where one differs, the
file is decoded from its start instead: slower, never wrong.
"""

import itertools
import logging
import os
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import av.error
import numpy as np

from ..errors import LatentSyncError
from .color import to_rgb
from .info import VideoInfo, describe_video, first_picture
from .picture import Orientation, native_picture, plane_samples, upright
from .source import open_media, video_stream

log = logging.getLogger(__name__)

BUFFERED_FRAMES = 24  # pictures kept behind the newest one, so that a backward run decodes each chunk once
BUFFERED_BYTES = 256 * 2**20  # and never more memory than this, nor fewer than 4 pictures
VARIABLE_DEVIATION = Fraction(1, 2)  # frames off the constant grid from which a rate counts as variable


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
