"""Write pictures and a voice to a video file that appears under its name only when it is complete."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import av.error

from ..errors import LatentSyncError
from .encoding import EncodePlan, EncodeSettings, convert_picture, plan_encoding
from .info import VideoInfo
from .picture import pad_to_even
from .target import PendingFile, check_target
from .voice_track import VoiceTrack

log = logging.getLogger(__name__)

VARIABLE_TIME_BASE = Fraction(1, 90_000)  # seconds: fine enough for any camera, and what MPEG uses
X265_DELAY = 2  # frames: x265 gives clips no longer than its reordering delay decoding times it never set
DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


class VideoWriter:
    """A video file in the making; use it in a `with` block, whose end completes the file and whose failure removes it.

    path: .mp4, .mov or .mkv, checked by check_target with `overwrite` and `inputs`. like: the source's VideoInfo; size,
    colour tags, pixel shape and frame rate carry over. fps: a constant rate in place of the source's. times_given: each
    picture comes with its own time (variable rate). audio: the voice, a path or blocks; it is trimmed or padded with
    silence to the pictures' end, or to `duration` (seconds) where given.
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
        self.path = check_target(path, overwrite, (like.path, *inputs))
        self.settings = settings or EncodeSettings()
        self.frames = 0
        self._like = like
        self._fps = Fraction(fps or like.fps).limit_denominator(1_000_000)
        self._times_given = times_given
        self._duration = duration
        self._time_base = VARIABLE_TIME_BASE if times_given else 1 / self._fps
        self._last_tick = -1
        self._container = self._voice = None
        extension = self.path.suffix.lower()
        plan = plan_encoding(like, self.settings, extension)
        self._pending = PendingFile(self.path, overwrite)
        try:
            self._open(plan, audio, extension)
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, picture: av.VideoFrame, time: Fraction | None = None) -> None:
        """Append an upright `picture` (native format, size of the source), which is left as it is.

        time: seconds from the start, later than the one before; only with `times_given`, then required.
        """
        if (picture.width, picture.height) != (self._like.width, self._like.height):
            raise ValueError(
                f"a picture of {picture.width}x{picture.height} for a video of {self._like.width}x{self._like.height}"
            )
        tick = self._tick(time)
        prepared = convert_picture(self._grown(picture), self._plan.pixel_format)
        prepared.pts, prepared.time_base = tick, self._time_base
        with self._refusing_failed_writes():
            if self._voice:
                self._voice.write_until(self._bounded(tick * self._time_base))
            self._mux(self._stream.encode(prepared))
        self.frames += 1
        self._last_step = tick - self._last_tick if self.frames > 1 else round(1 / self._fps / self._time_base)
        self._last_tick = tick

    def close(self) -> None:
        """Finish the file and put it in place; nothing happens when it is closed already."""
        if self._container is None:
            return
        try:
            if not self.frames:
                raise LatentSyncError(f"{self.path}: not one picture was written, so there is no video")
            with self._refusing_failed_writes():
                self._finish()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Give up: nothing is left under the final or the temporary name."""
        container, self._container = self._container, None
        if self._voice:
            self._voice.close()
        if container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):  # the file is thrown away in any case
                container.close()
        self._pending.discard()

    def _open(self, plan: EncodePlan, audio, extension: str) -> None:
        """Open the temporary file with its video and audio tracks."""
        self._plan = plan
        if (plan.width, plan.height) != (self._like.width, self._like.height):
            size = f"{self._like.width}x{self._like.height}"
            log.warning("%s: 4:2:0 needs an even size, %s grows to %dx%d", self.path, size, plan.width, plan.height)
        flags = {"fflags": "+bitexact"}  # no random identifiers: the same pictures and voice give the same file
        if extension in (".mp4", ".mov"):
            flags["movflags"] = "+faststart"
        with self._refusing_failed_writes():
            self._container = av.open(f"file:{self._pending.temporary.absolute()}", "w", options=flags)
            self._stream = self._container.add_stream(plan.encoder, rate=self._fps, options=plan.options)
            context = self._stream.codec_context
            context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pixel_format
            context.time_base = self._time_base
            if self._like.sample_aspect_ratio:
                context.sample_aspect_ratio = self._like.sample_aspect_ratio
            if self.settings.codec == "hevc" and extension != ".mkv":
                context.codec_tag = "hvc1"  # the tag Apple's players ask for
            for name, code in plan.colors.items():
                setattr(context, name, code)
            if audio is not None:
                self._voice = VoiceTrack(self._container, audio, self.settings, extension)

    def _tick(self, time: Fraction | None) -> int:
        """The time stamp of the next picture in time-base units."""
        if self._times_given != (time is not None):
            raise ValueError("a time belongs to every picture with times_given and to none without")
        if time is None:
            return self.frames
        tick = round(time / self._time_base)
        if tick <= self._last_tick:
            raise ValueError(f"time {float(time)} s is not later than the picture before")
        return tick

    def _grown(self, picture: av.VideoFrame) -> av.VideoFrame:
        """`picture` at the encoder's size."""
        same = (picture.width, picture.height) == (self._plan.width, self._plan.height)
        return picture if same else pad_to_even(picture)

    def _end(self) -> Fraction:
        """Seconds at which the last picture ends; with variable rate it lasts as long as the one before."""
        if self._duration is not None:
            return Fraction(self._duration)
        return (self._last_tick + self._last_step) * self._time_base

    def _bounded(self, seconds: Fraction) -> Fraction:
        return seconds if self._duration is None else min(seconds, Fraction(self._duration))

    def _finish(self) -> None:
        """Flush both tracks, write the index, bring the file to its name."""
        end = self._end()
        packets = self._stream.encode(None)
        if self.settings.codec == "hevc" and self.frames <= X265_DELAY:
            for number, packet in enumerate(packets, start=-len(packets)):
                packet.dts = number
        self._mux(packets, end)
        if self._voice:
            self._voice.finish(end)
        container, self._container = self._container, None
        container.close()
        self._pending.commit()

    def _mux(self, packets, end: Fraction | None = None) -> None:
        """Write packets; the last picture's packet is told to last until `end`."""
        for packet in packets:
            if end is not None and packet.pts == self._last_tick and packet.time_base == self._time_base:
                packet.duration = max(1, round(end / self._time_base) - self._last_tick)
            self._container.mux(packet)

    @contextlib.contextmanager
    def _refusing_failed_writes(self) -> Iterator[None]:
        """Turn what the encoder, the container or the disk refuses into one sentence that names the target."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            reason = error.strerror or str(error)
            if error.errno in DISK_FULL:
                reason = f"the disk is full or the file grew too large: {reason}"
            raise LatentSyncError(f"{self.path}: the video could not be written ({reason})") from error
