"""Any one picture of a video at once: only what precedes it by a key picture is decoded."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ...errors import LatentSyncError
from ..picture.frame import Frame
from .info import VideoInfo
from .video_part import VideoPart
from .video_reader import VideoReader


@dataclass(frozen=True)
class FrameTimes:
    """When a file shows each of its pictures: seconds from the first one, whose own is `start` on the file's clock."""

    path: Path
    info: VideoInfo
    start: Fraction
    times: tuple[Fraction, ...]

    @classmethod
    def of(cls, path: str | os.PathLike) -> "FrameTimes":
        """From the packets of a file; only its first picture is decoded.

        Raises LatentSyncError as VideoReader does, and for a file whose pictures carry no times.
        """
        with VideoReader(path) as reader:
            first = next(reader.frames(), None)
            times = reader.scan_times()
            if first is None or not times:
                raise LatentSyncError(f"{path}: no picture in it carries a time; convert it to an mp4 file")
            return cls(Path(path), reader.info, reader.start, times)

    def __len__(self) -> int:
        return len(self.times)

    def frame(self, index: int) -> Frame:
        """The upright picture that a straight decode shows as number `index`.

        Raises IndexError for one that the file has not.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {self.path} was asked for, it has {len(self)}")
        with VideoPart(self.path, self.start + self.times[index]) as part:
            (shown,) = part.frames(0, 1)
        return Frame(index, self.times[index], shown.picture)
