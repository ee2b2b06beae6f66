"""Read the part of a video that is shown from one time to another, where it lies: no copy, no other codec."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av

from ...errors import LatentSyncError
from .video_reader import VideoReader

EXACT_SEEKING = {"mov", "matroska"}  # containers whose index leads to a key picture at or before a time


class VideoPart(VideoReader):
    """Upright pictures of a part of `path`, counted from 0; the interface of VideoReader.

    begin: seconds on the container's own clock, from which pictures are shown. seconds: how long from there; 0 for the
    rest of the file. `times` count from the part's first picture, `start` is when the file shows that one. Only what
    precedes it by a key picture is decoded where the container can be searched, else everything before it.
    Raises LatentSyncError as VideoReader does, and where no picture is shown then.
    """

    def __init__(self, path: str | os.PathLike, begin: Fraction, seconds: Fraction = Fraction(0)):
        self._begin, self._seconds = begin, seconds
        self._found = False
        super().__init__(path)
        whole = self.info.duration
        rest = None if whole is None else max(whole - float(begin), 0.0)
        shown = [length for length in (rest, float(seconds) or None) if length is not None]
        self.info = replace(self.info, frames=None, duration=min(shown, default=None))

    @property
    def shown(self) -> list[str]:
        """Which part it is, exactly and as JSON knows it: begin and seconds."""
        return [str(self._begin), str(self._seconds)]

    def _open(self) -> None:
        super()._open()
        if self._first_stamp > 0 and EXACT_SEEKING & set(self._container.format.name.split(",")):
            self._seek_before_part()

    @property
    def _first_stamp(self) -> int:
        """Ticks from which on pictures are shown, rounded down: the decimals of a time stamp round it up or down."""
        return int(self._begin / self._stream.time_base)

    @property
    def _stop_stamp(self) -> float:
        """Ticks from which on no more are shown; infinite for the rest of the file."""
        return int((self._begin + self._seconds) / self._stream.time_base) if self._seconds else math.inf

    def _shows(self, stamp: int | Fraction) -> bool:
        return self._first_stamp <= stamp < self._stop_stamp

    def _seek_before_part(self) -> None:
        """Go to a key picture that is stored before the part; the start of the file where the index leads elsewhere."""
        try:
            self._container.seek(self._first_stamp, stream=self._stream)
            packet = next(self._container.demux(self._stream))
            exact = packet.is_keyframe and packet.pts is not None and packet.pts <= self._first_stamp
            if exact:
                self._container.seek(self._first_stamp, stream=self._stream)
        except av.error.FFmpegError:
            exact = False
        if not exact:
            self._container.close()
            super()._open()

    def _decode(self, offset: int = 0) -> Iterator[tuple[list[int], int | Fraction | None, av.VideoFrame | None]]:
        return self._shown(super()._decode(offset))

    def _shown(self, pictures: Iterator) -> Iterator[tuple[list[int], int | Fraction | None, av.VideoFrame | None]]:
        """Of pictures in display order, those of the part; the stamps that were due before each, likewise."""
        for due, stamp, picture in pictures:
            if picture is not None and stamp is None:
                raise LatentSyncError(
                    f"{self.path}: its pictures carry no times, so that no part can be found; convert it to an mp4 file"
                )
            due = [name for name in due if self._shows(name)]
            if stamp is None or stamp >= self._stop_stamp:
                self._require_pictures()
                yield due, None, None
                return
            if self._shows(stamp):
                self._found = True
                yield due, stamp, picture

    def _require_pictures(self) -> None:
        """LatentSyncError at the end of a part that has shown nothing."""
        if not self._found:
            raise LatentSyncError(
                f"{self.path}: no picture is shown from {float(self._begin):g} s on; begin the part within the video"
            )

    def _note_end(self) -> None:
        """As for a whole video; but one that goes on after the part was not cut short."""
        if not self._seconds:
            super()._note_end()
        elif self.damage.dropped:
            self.damage.warn_of_dropped(self.path)
