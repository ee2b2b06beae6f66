"""A video encoded in parts, each a file of its own that can be played, and joined without encoding anything again.

A part is a closed group of pictures in a NUT container, which keeps an encoder's packets and time stamps as they are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from ...errors import LatentSyncError
from ..read.info import VideoInfo
from ..read.source import open_media, video_stream
from .encoding import EncodePlan, EncodeSettings, plan_encoding
from .output_file import OutputFile, tick_length
from .video_writer import exact_rate, prepared_picture, warn_of_losses

PART_EXTENSION = ".nut"


@dataclass(frozen=True)
class PartedVideo:
    """What all parts of one video share.

    target: the file they become. like: the source's VideoInfo. fps, times_given: as for VideoWriter. ticks: the time
    stamp of every picture of the whole video, in units of `time_base` seconds. seconds: where its last picture ends.
    """

    target: Path
    like: VideoInfo
    settings: EncodeSettings
    fps: Fraction
    times_given: bool
    ticks: Sequence[int]
    seconds: Fraction

    @classmethod
    def of(
        cls,
        target: Path,
        like: VideoInfo,
        settings: EncodeSettings,
        fps: Fraction,
        times: Sequence[Fraction],
        variable: bool,
        seconds: Fraction,
    ) -> "PartedVideo":
        """A video at the constant rate `fps`, or with each picture at its own of `times` (seconds) where `variable`."""
        warn_of_losses(target, like, plan_encoding(like, settings, target.suffix.lower()))
        unit = tick_length(exact_rate(fps), variable)
        ticks = [round(time / unit) for time in times] if variable else range(len(times))
        if any(later <= earlier for earlier, later in zip(ticks, ticks[1:], strict=False)):
            raise ValueError("every picture's time must be later than the one before")
        return cls(target, like, settings, exact_rate(fps), variable, ticks, seconds)

    @property
    def plan(self) -> EncodePlan:
        """How every part is encoded."""
        return plan_encoding(self.like, self.settings, self.target.suffix.lower())

    def end_of(self, picture: int) -> int:
        """The tick at which a picture gives way to the next or, the last one, to the end; later than its start."""
        if picture + 1 < len(self.ticks):
            return self.ticks[picture + 1]
        end = round(self.seconds / tick_length(self.fps, self.times_given))
        return max(end, self.ticks[picture] + 1)


class PartWriter(OutputFile):
    """One part in the making, from the picture number `start` of `video` on; see OutputFile."""

    def __init__(self, path: Path, video: PartedVideo, start: int):
        self._start = self._next = start
        self._ticks = video.ticks
        track = {"fps": video.fps, "times_given": video.times_given}
        settings, target = video.settings, video.target
        super().__init__(path, video.plan, video.like, settings, **track, overwrite=True, shown_as=target)

    def write(self, picture: av.VideoFrame) -> None:
        """Append an upright `picture` (native format, size of the source), which is left as it is."""
        prepared = prepared_picture(picture, self._like, self._plan)
        prepared.pts, prepared.time_base = self._ticks[self._next], self.time_base
        with self.refusing():
            self._container.mux(self._stream.encode(prepared))
        self._next += 1

    def flush(self) -> None:
        """Let the encoder finish all pictures; none can follow."""
        with self.refusing():
            self._container.mux(self._last_packets(self._next - self._start, self._ticks[self._start]))

    def _finish(self) -> None:
        self.flush()


class JoinedFile(OutputFile):
    """The whole video in the making: packets of the parts, and the voice up to the end of the pictures."""

    def __init__(self, video: PartedVideo, audio: Path | Iterable[av.AudioFrame], overwrite: bool):
        self._video = video
        track = {"fps": video.fps, "times_given": video.times_given, "audio": audio, "overwrite": overwrite}
        super().__init__(video.target, video.plan, video.like, video.settings, **track)

    def copy(self, packet: av.Packet, picture: int, decoded: int) -> None:
        """Write the packet of the picture number `picture`; `decoded` is its decoding time in ticks."""
        tick = self._video.ticks[picture]
        packet.stream, packet.time_base = self._stream, self.time_base
        packet.pts, packet.dts, packet.duration = tick, decoded, self._video.end_of(picture) - tick
        with self.refusing():
            self._voice.write_until(min(max(decoded, 0) * self.time_base, self._video.seconds))
            self._container.mux(packet)

    def _finish(self) -> None:
        self._voice.finish(self._video.seconds)


def join_parts(
    video: PartedVideo,
    parts: Sequence[tuple[Path, int, int]],
    audio: Path | Iterable[av.AudioFrame],
    *,
    overwrite: bool = False,
) -> None:
    """Copy the packets of all `parts` (path, first picture, picture after the last) and the voice into the target.

    The pictures are the parts', bit for bit, at the times of the whole video; the voice is trimmed or padded with
    silence to their end. Equal parts give an equal file. Raises LatentSyncError for a part that is damaged.
    """
    orders = [part_order(*part) for part in parts]
    delay = max(reordering(order) for order in orders)
    with JoinedFile(video, audio, overwrite) as file:
        sent = 0
        for (path, start, _), order in zip(parts, orders, strict=True):
            for packet, place in zip(part_packets(path), order, strict=True):
                file.copy(packet, start + place, decoding_tick(video.ticks, sent, delay))
                sent += 1


def part_packets(path: Path) -> Iterator[av.Packet]:
    """The packets of a part in decoding order."""
    with open_media(path, "a finished segment") as container:
        for packet in container.demux(video_stream(container, path)):
            if packet.size:
                yield packet


def part_order(path: Path, start: int, stop: int) -> list[int]:
    """For every packet of a part in decoding order, the place of its picture in the order of showing."""
    stamps = [packet.pts for packet in part_packets(path)]
    if len(stamps) != stop - start or None in stamps:
        raise LatentSyncError(f"{path}: this segment is damaged ({len(stamps)} of {stop - start} pictures)")
    place = {stamp: number for number, stamp in enumerate(sorted(stamps))}
    return [place[stamp] for stamp in stamps]


def reordering(order: Sequence[int]) -> int:
    """By how many pictures decoding has to run ahead of showing, so that none is shown before it is decoded."""
    return max(sent - place for sent, place in enumerate(order))


def decoding_tick(ticks: Sequence[int], sent: int, delay: int) -> int:
    """When the packet number `sent` is decoded: as the picture `delay` places before it is shown."""
    if sent >= delay:
        return ticks[sent - delay]
    return ticks[sent] - (ticks[delay] - ticks[0])  # before anything is shown, at the pace at which it will be
