"""The clock of an audio track: at a discontinuity of the file's time stamps the sound follows the picture.

The picture continues without a gap (see stamps.py); the sound is shifted by the same amount, so that what was recorded
together stays in sync over any number of discontinuities. Without a picture the sound continues where it ended.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction

import av

from .info import running_rate
from .source import is_cover_art, read_packets
from .stamps import CONTINUES_WITHIN, StampClock

SLIP = Fraction(
    1, 10
)  # seconds by which stamps may overlap without a discontinuity: encoders' priming, coarse time bases
LONGEST_GAP = 60  # seconds: a longer step is a clock that was set, not sound that was lost
BOUNDARY_SPREAD = 5  # seconds between the ends of a recording's picture and sound, and between their beginnings
MOST_WAITING = 256  # packets read ahead in search of the picture's discontinuity
INDEXED = {"mov", "avi", "asf"}  # their clocks are not set back, and reading the picture too would cost time


def sound_packets(
    container, stream, path: str | os.PathLike, on_damage: Callable[[str], None]
) -> Iterator[tuple[av.Packet, float]]:
    """The packets of an audio track on one clock, each with the step in seconds of a discontinuity before it, else 0.

    container, stream: of the file `path`. on_damage: as for read_packets.
    """
    pictures = [track for track in container.streams.video if not is_cover_art(track) and track.codec_context]
    formats = set(container.format.name.split(","))
    picture = pictures[0] if pictures and (not formats & INDEXED or has_long_gap(stream)) else None
    clock = SoundClock(picture, formats, running_rate(picture, path) if picture else None)
    for packet in read_packets(container, [stream] if picture is None else [stream, picture], on_damage):
        if packet.stream.index == stream.index:
            clock.add(packet)
        else:
            clock.note_picture(packet)
        yield from clock.settled(at_end=packet.size == 0)
    yield from clock.settled(at_end=True)


def has_long_gap(stream) -> bool:
    """Whether a track's packets fill much less than its stated length."""
    size, rate = stream.codec_context.frame_size, stream.rate
    if not (size and rate and stream.frames and stream.duration):
        return False
    return stream.duration * stream.time_base - Fraction(stream.frames * size, rate) > LONGEST_GAP


class SoundClock:
    """Corrects the time stamps of an audio track by those of the `picture` stored with it, if there is one.

    formats: FFmpeg's names of the container's. rate: pictures per second, None without a picture.
    """

    def __init__(self, picture, formats: set[str], rate: Fraction | None):
        self._waiting: deque[av.Packet] = deque()  # as they are stored
        self._picture: StampClock | None = None
        if picture is not None:
            step = 1 / (rate * picture.time_base)
            self._picture = StampClock(picture.time_base, step, formats, bool(picture.codec_context.has_b_frames))
            self._tick = picture.time_base
        self._run = 0  # how many of the picture's discontinuities the sound has followed
        self._offset = Fraction(0)  # seconds
        self._end: Fraction | None = None  # seconds, corrected
        self._left: list[Fraction] = []  # offsets of earlier runs

    def add(self, packet: av.Packet) -> None:
        """Take the next packet of the sound."""
        if self._picture:
            self._picture.note_sound(packet)
        self._waiting.append(packet)

    def note_picture(self, packet: av.Packet) -> None:
        """Note a packet of the picture."""
        for _ in self._picture.push(packet):
            pass

    def settled(self, at_end: bool) -> Iterator[tuple[av.Packet, float]]:
        """The waiting packets whose time is known now, corrected, each with the step before it in seconds."""
        while self._waiting:
            packet, step = self._waiting[0], 0.0
            if packet.pts is not None:
                apart = self._apart(packet)
                if not -SLIP <= apart <= CONTINUES_WITHIN:
                    offset = self._chosen(packet, apart, at_end or len(self._waiting) > MOST_WAITING)
                    if offset is None:
                        return
                    if offset != self._offset:
                        step = float(apart)
                        self._left.append(self._offset)
                        self._offset = offset
                self._correct(packet)
            self._waiting.popleft()
            yield packet, step

    def _apart(self, packet: av.Packet) -> Fraction:
        """Seconds from the end of the sound so far to a packet on the present clock."""
        time = packet.pts * packet.time_base + self._offset
        return Fraction(0) if self._end is None else time - self._end

    def _chosen(self, packet: av.Packet, apart: Fraction, now: bool) -> Fraction | None:
        """The offset for a packet that does not continue the sound; None while undecided. now: decide in any case."""
        stored = packet.pts * packet.time_base
        runs = self._picture.runs if self._picture else []
        for number, run in enumerate(runs[self._run :], self._run + 1):
            offset = run.offset * self._tick
            if abs(stored + offset - run.first * self._tick) <= BOUNDARY_SPREAD:
                self._run = number
                return offset
        if self._picture and not now:
            seen = self._picture.end
            runs_there_too = seen is not None and 0 < apart and abs(seen - stored - self._offset) <= CONTINUES_WITHIN
            return self._offset if runs_there_too else None
        if 0 < apart < LONGEST_GAP or self._is_alone(packet):
            return self._offset
        returned = [o for o in reversed(self._left) if abs(stored + o - self._end) <= CONTINUES_WITHIN]
        return returned[0] if returned else self._end - stored

    def _is_alone(self, packet: av.Packet) -> bool:
        """Whether the packet after this one continues the one before; if so, corrects this one's stamp."""
        following = self._waiting[1] if len(self._waiting) > 1 else None
        if following is None or following.pts is None or not -SLIP <= self._apart(following) <= CONTINUES_WITHIN:
            return False
        packet.pts = packet.dts = round((self._end - self._offset) / packet.time_base)
        return True

    def _correct(self, packet: av.Packet) -> None:
        """Restamp a packet on the continuous clock."""
        if self._offset:
            moved = round(self._offset / packet.time_base)
            packet.pts += moved
            packet.dts = None if packet.dts is None else packet.dts + moved
        lasts = (packet.duration or 0) * packet.time_base
        # mp4 states the time to the next packet, gaps and discontinuities included.
        self._end = packet.pts * packet.time_base + (lasts if lasts <= CONTINUES_WITHIN else 0)
