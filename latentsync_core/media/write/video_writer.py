"""Write pictures and a voice to a video file that gets its name only when it is complete."""

import logging
import os
from collections.abc import Iterable
from fractions import Fraction

import av

from ...errors import LatentSyncError
from ..picture.planes import pad_to_even
from ..read.info import VideoInfo
from .encoding import EncodeSettings, convert_picture, plan_encoding, what_is_lost
from .output_file import OutputFile, VideoTrack
from .target import check_target

log = logging.getLogger(__name__)


class VideoWriter(OutputFile):
    """A video file being written; use it in a `with` block, whose end completes the file and whose failure removes it.

    Memory does not grow with length. Raises LatentSyncError for what cannot be written, also when the disk is full.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        like: VideoInfo,
        settings: EncodeSettings | None = None,
        *,
        fps: Fraction | None = None,
        times_given: bool = False,
        audio: str | os.PathLike | Iterable[av.AudioFrame] | None = None,
        duration: Fraction | None = None,
        overwrite: bool = False,
        inputs: Iterable[str | os.PathLike] = (),
    ):
        """Open the file. Nine arguments, all but three by name, as most callers need few of these independent choices.

        Args:
            path: .mp4, .mov or .mkv, checked by check_target with `overwrite` and `inputs`.
            like: the source's VideoInfo; size, colour tags, pixel shape and frame rate carry over.
            settings: codec and quality; the defaults of EncodeSettings if None.
            fps: a constant rate in place of the source's.
            times_given: each picture comes with its own time (variable rate).
            audio: the voice, a path or blocks, trimmed or padded with silence to the end of the pictures.
            duration: where the voice ends instead, in seconds.
            overwrite: whether an existing file is replaced.
            inputs: files that must not be overwritten, besides the source's.
        """
        path = check_target(path, overwrite, (like.path, *inputs))
        settings = settings or EncodeSettings()
        plan = plan_encoding(like, settings, path.suffix.lower())
        warn_of_losses(path, like, plan)
        self.frames = 0
        self._duration = duration
        self._first_tick = self._last_tick = -1
        rate = exact_rate(fps or like.fps)
        track = VideoTrack(like=like, settings=settings, plan=plan, fps=rate, times_given=times_given)
        super().__init__(path, track, audio=audio, overwrite=overwrite)

    def write(self, picture: av.VideoFrame, time: Fraction | None = None) -> None:
        """Append an upright `picture` (native format, size of the source), which is left as it is.

        time: seconds from the start, later than the one before; only with `times_given`, then required.
        """
        tick = self._tick(time)
        prepared = prepared_picture(picture, self.track)
        prepared.pts, prepared.time_base = tick, self.time_base
        with self.refusing():
            if self._voice:
                self._voice.write_until(self._bounded(tick * self.time_base))
            self._mux(self._stream.encode(prepared))
        self.frames += 1
        self._first_tick = tick if self.frames == 1 else self._first_tick
        self._last_step = tick - self._last_tick if self.frames > 1 else round(1 / self.track.fps / self.time_base)
        self._last_tick = tick

    def _tick(self, time: Fraction | None) -> int:
        """The time stamp of the next picture in time-base units."""
        if self.track.times_given != (time is not None):
            raise ValueError("a time belongs to every picture with times_given and to none without")
        if time is None:
            return self.frames
        tick = round(time / self.time_base)
        if tick <= self._last_tick:
            raise ValueError(f"time {float(time)} s is not later than the picture before")
        return tick

    def _end(self) -> Fraction:
        """Seconds at which the last picture ends; with variable rate it lasts as long as the one before."""
        if self._duration is not None:
            return Fraction(self._duration)
        return (self._last_tick + self._last_step) * self.time_base

    def _bounded(self, seconds: Fraction) -> Fraction:
        return seconds if self._duration is None else min(seconds, Fraction(self._duration))

    def _finish(self) -> None:
        """Flush both tracks."""
        if not self.frames:
            raise LatentSyncError(f"{self.path}: not one picture was written, so there is no video")
        end = self._end()
        self._mux(self._last_packets(self.frames, self._first_tick), end)
        if self._voice:
            self._voice.finish(end)

    def _mux(self, packets, end: Fraction | None = None) -> None:
        """Write packets; the last picture's packet gets a duration up to `end`."""
        for packet in packets:
            if end is not None and packet.pts == self._last_tick and packet.time_base == self.time_base:
                packet.duration = max(1, round(end / self.time_base) - self._last_tick)
            self._container.mux(packet)


def exact_rate(fps: Fraction) -> Fraction:
    """A rate that containers can store."""
    return Fraction(fps).limit_denominator(1_000_000)


def warn_of_losses(path, like: VideoInfo, plan) -> None:
    """Warn of what the result cannot keep of the source."""
    for loss in what_is_lost(like, plan):
        log.warning("%s: %s", path, loss)


def prepared_picture(picture: av.VideoFrame, track: VideoTrack) -> av.VideoFrame:
    """A copy of `picture` in the encoder's pixel format and size; ValueError where it is not as large as the source."""
    like, plan = track.like, track.plan
    if (picture.width, picture.height) != (like.width, like.height):
        raise ValueError(f"a picture of {picture.width}x{picture.height} for a video of {like.width}x{like.height}")
    grown = picture if (picture.width, picture.height) == (plan.width, plan.height) else pad_to_even(picture)
    return convert_picture(grown, plan.pixel_format)
