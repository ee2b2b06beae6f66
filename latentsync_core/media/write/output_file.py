"""An output container being written: its video track, its audio track, and its final name once it is complete."""

import contextlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error

from ...atomic_write import PendingFile
from ..read.info import VideoInfo
from .encoding import EncodePlan, EncodeSettings
from .target import refusing_failed_writes
from .voice_track import VoiceTrack

log = logging.getLogger(__name__)

X265_DELAY = 2  # pictures: x265 gives videos no longer than its reordering delay decoding times it never set
VARIABLE_TIME_BASE = Fraction(1, 90_000)  # seconds: fine enough for any camera, and what MPEG uses


def tick_length(fps: Fraction, times_given: bool) -> Fraction:
    """Seconds between two ticks of a video track: a frame at a constant rate, 1/90000 where every frame has a time."""
    return VARIABLE_TIME_BASE if times_given else 1 / fps


@dataclass(frozen=True)
class VideoTrack:
    """The video track of a result. like: the source's VideoInfo. plan: how pictures are encoded, following from
    `like`, `settings` and the file's extension. fps, times_given: as for VideoWriter."""

    like: VideoInfo
    settings: EncodeSettings
    plan: EncodePlan
    fps: Fraction
    times_given: bool

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""
        return tick_length(self.fps, self.times_given)


class OutputFile:
    """A container with an open encoder and maybe a voice; a `with` block's end completes it, a failure removes it.

    What disk, encoder and container refuse becomes one LatentSyncError.
    """

    def __init__(
        self,
        path: Path,
        track: VideoTrack,
        *,
        audio: str | os.PathLike | Iterable[av.AudioFrame] | None = None,
        overwrite: bool = False,
        shown_as: Path | None = None,
    ):
        """Open the file.

        Args:
            path: of the file, already checked; the extension chooses the format.
            track: its video track.
            audio: the voice, a path or blocks; None for no audio track.
            overwrite: whether an existing file is replaced.
            shown_as: the path in errors, by default `path`.
        """
        self.path, self.track, self.time_base = path, track, track.time_base
        self._shown_as = shown_as or path
        self._container = self._voice = None
        self._pending = PendingFile(path, overwrite)
        try:
            with self.refusing():
                self._open(audio)
        except BaseException:
            self.abort()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def close(self) -> None:
        """Finish the file and put it in place; nothing happens when it is closed already."""
        if self._container is None:
            return
        try:
            with self.refusing():
                self._finish()
                container, self._container = self._container, None
                container.close()
                self._pending.commit()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Discard the file: nothing is left under the final or the temporary name."""
        container, self._container = self._container, None
        if self._voice:
            self._voice.close()
        if container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):  # the file is removed in any case
                container.close()
        self._pending.discard()

    def refusing(self):
        """A context in which a failed write becomes a LatentSyncError that names the file."""
        return refusing_failed_writes(self._shown_as)

    def _finish(self) -> None:
        """Write what is still missing from the tracks."""

    def _last_packets(self, pictures: int, first_tick: int) -> list[av.Packet]:
        """What the encoder still holds after all `pictures`, of which the first is shown at `first_tick`."""
        packets = self._stream.encode(None)
        if self.track.settings.codec == "hevc" and pictures <= X265_DELAY:
            for tick, packet in enumerate(packets, start=first_tick - len(packets)):
                packet.dts = tick
        return packets

    def _open(self, audio) -> None:
        """Open the temporary file with its video and audio tracks."""
        track, plan, extension = self.track, self.track.plan, self.path.suffix.lower()
        flags = {"fflags": "+bitexact"}  # no random identifiers: the same pictures and voice give the same file
        if extension in (".mp4", ".mov"):
            flags["movflags"] = "+faststart"
        self._container = av.open(f"file:{self._pending.temporary.absolute()}", "w", options=flags)
        self._stream = self._container.add_stream(plan.encoder, rate=track.fps, options=plan.options)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pixel_format
        context.time_base = self.time_base
        if track.like.sample_aspect_ratio:
            context.sample_aspect_ratio = track.like.sample_aspect_ratio
        if track.settings.codec == "hevc" and extension in (".mp4", ".mov"):
            context.codec_tag = "hvc1"  # the tag that Apple's players require
        for name, code in plan.colors.items():
            setattr(context, name, code)
        if audio is not None:
            self._voice = VoiceTrack(self._container, audio, track.settings, extension)
