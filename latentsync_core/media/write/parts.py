"""A video encoded in parts, each a playable file of its own, and concatenated without encoding again.

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
from .encoding import EncodeSettings, plan_encoding
from .output_file import OutputFile, VideoTrack
from .video_writer import exact_rate, prepared_picture, warn_of_losses

PART_EXTENSION = ".nut"


@dataclass(frozen=True)
class PartedVideo:
    """What all parts of one video share.

    target: the file they become. track: its video track. ticks: the time stamp of every picture of the whole video, in
    units of `track.time_base` seconds. seconds: where its last picture ends.
    """

    target: Path
    track: VideoTrack
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
        """A video like the source `like`; raises ValueError where the times of a variable rate do not increase.

        Seven arguments: the last four are a timeline, which belongs to the pipeline.

        Args:
            target: the file that the parts become.
            like: the source's VideoInfo.
            settings: of the encoder.
            fps: the rate of the pictures.
            times: seconds of each picture, which count where the rate is variable.
            variable: whether it is.
            seconds: where the last picture ends.
        """
        plan = plan_encoding(like, settings, target.suffix.lower())
        warn_of_losses(target, like, plan)
        track = VideoTrack(like=like, settings=settings, plan=plan, fps=exact_rate(fps), times_given=variable)
        ticks = [round(time / track.time_base) for time in times] if variable else range(len(times))
        if any(later <= earlier for earlier, later in zip(ticks, ticks[1:], strict=False)):
            raise ValueError("every picture's time must be later than the one before")
        return cls(target=target, track=track, ticks=ticks, seconds=seconds)

    def end_of(self, picture: int) -> int:
        """The tick at which the next picture is shown or, after the last one, the video ends; later than its own."""
        if picture + 1 < len(self.ticks):
            return self.ticks[picture + 1]
        end = round(self.seconds / self.track.time_base)
        return max(end, self.ticks[picture] + 1)


class PartWriter(OutputFile):
    """One part being written, from the picture number `start` of `video` on; see OutputFile."""

    def __init__(self, path: Path, video: PartedVideo, start: int):
        self._start = self._next = start
        self._ticks = video.ticks
        super().__init__(path, video.track, overwrite=True, shown_as=video.target)

    def write(self, picture: av.VideoFrame) -> None:
        """Append an upright `picture` (native format, size of the source), which is left as it is."""
        prepared = prepared_picture(picture, self.track)
        prepared.pts, prepared.time_base = self._ticks[self._next], self.time_base
        with self.refusing():
            self._container.mux(self._stream.encode(prepared))
        self._next += 1

    def flush(self) -> None:
        """Flush the encoder; no picture can follow."""
        with self.refusing():
            self._container.mux(self._last_packets(self._next - self._start, self._ticks[self._start]))

    def _finish(self) -> None:
        self.flush()


class JoinedFile(OutputFile):
    """The whole video being written: packets of the parts, and the voice up to the end of the pictures."""

    def __init__(self, video: PartedVideo, audio: Path | Iterable[av.AudioFrame], overwrite: bool):
        self._video = video
        super().__init__(video.target, video.track, audio=audio, overwrite=overwrite)

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
    orders = [part_order(path, start, stop) for path, start, stop in parts]
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
    """For every packet of a part in decoding order, the position of its picture in display order."""
    stamps = [packet.pts for packet in part_packets(path)]
    if len(stamps) != stop - start or None in stamps:
        raise LatentSyncError(f"{path}: this segment is damaged ({len(stamps)} of {stop - start} pictures)")
    place = {stamp: number for number, stamp in enumerate(sorted(stamps))}
    return [place[stamp] for stamp in stamps]


def reordering(order: Sequence[int]) -> int:
    """The reordering delay: by how many pictures decoding order runs ahead of display order."""
    return max(sent - place for sent, place in enumerate(order))


def decoding_tick(ticks: Sequence[int], sent: int, delay: int) -> int:
    """When the packet number `sent` is decoded: as the picture `delay` places before it is shown."""
    if sent >= delay:
        return ticks[sent - delay]
    return ticks[sent] - (ticks[delay] - ticks[0])  # before anything is shown, at the rate of the first pictures
