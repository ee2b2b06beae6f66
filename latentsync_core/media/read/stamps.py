"""Discontinuities of a track's time stamps: packets are restamped onto one continuous clock before they are decoded.

Concatenated files, cameras that split or pause, restarted streams and counters that wrap give time stamps that start
again in the middle of a track. After the correction each picture and block of sound has a time stamp of its own, and
all later stages see one clock.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

log = logging.getLogger(__name__)

DISCONTINUITY = 60  # seconds: a longer step ahead is a clock that was set, not a long picture or silence
BROADCAST_DISCONTINUITY = 10  # the same in formats made to be concatenated and restarted
BROADCAST_FORMATS = {"mpegts", "mpeg", "flv", "live_flv"}
UNORDERED_FORMATS = {
    "matroska",
    "webm",
    "ogg",
    "avi",
}  # store no decoding times: FFmpeg derives them
REORDERED_PICTURES = 16  # by which a stamp may lie behind the highest one before it where decoding times are not stored
LOOK_AHEAD = 8  # packets after an implausible one that decide between a discontinuity and a single wrong time stamp
CONTINUES_WITHIN = 1  # seconds: what begins this close to where something ended continues it


@dataclass(frozen=True)
class ClockRun:
    """A run of packets on one clock.

    first: the corrected stamp of its first one. offset: corrected minus stored stamps, both in ticks. place: seconds
    from the start of the track at which it begins. step: seconds by which the stored stamps depart from the expected
    one there.
    """

    first: int
    offset: int
    place: float
    step: float

    def warn(self, path: Path) -> None:
        """Warn of the discontinuity in the video's time stamps."""
        log.warning(
            "%s: the time stamps of its video step %s by %.2f s at %.2f s, as where recordings were joined or paused; "
            "every frame is kept, and the frames after the discontinuity follow without a gap",
            path,
            "ahead" if self.step > 0 else "back",
            abs(self.step),
            self.place,
        )


class StampClock:
    """Corrects the time stamps of one track's packets, in the order in which they are stored.

    runs: those found after a discontinuity. offset: of the present one, in ticks.
    """

    def __init__(self, time_base: Fraction, step: Fraction, formats: set[str], reordered: bool, offset: int = 0):
        """Begin at the first packet.

        Args:
            time_base: seconds per tick.
            step: ticks from one picture to the next.
            formats: FFmpeg's names of the container's format.
            reordered: whether pictures are stored in another order than they are shown.
            offset: of the first run, in ticks, where decoding starts in the middle.
        """
        self.runs: list[ClockRun] = []
        self.offset = offset
        self._time_base, self._step = time_base, step
        longest = BROADCAST_DISCONTINUITY if formats & BROADCAST_FORMATS else DISCONTINUITY  # seconds
        self._longest_step = max(longest / time_base, 3 * step)
        self._stored_order = not formats & UNORDERED_FORMATS
        self._window = REORDERED_PICTURES * step if reordered else 0
        self._start: int | None = None
        self._highest: int | None = None  # corrected stamp
        self._latest: int | None = None  # corrected decoding time
        self._held: list[av.Packet] = []
        self._before = 0  # offset of the run before this one
        self._boundary = 0  # highest corrected stamp of that
        self._near_boundary = 0  # packets still to come among which one may belong to that
        self._others: dict[int, tuple[Fraction, Fraction]] = {}

    @property
    def end(self) -> Fraction | None:
        """Seconds, corrected, of the highest stamp so far."""
        return None if self._highest is None else self._highest * self._time_base

    def note_sound(self, packet: av.Packet) -> None:
        """Note a packet of an audio track: one that continues through a gap of the video shows that time passed."""
        if packet.pts is not None:
            time = packet.pts * packet.time_base
            begin, latest = self._others.get(packet.stream.index, (time, time))
            self._others[packet.stream.index] = (begin if abs(time - latest) <= CONTINUES_WITHIN else time, time)

    def push(self, packet: av.Packet) -> Iterator[av.Packet]:
        """The packets whose stamps are decided now, corrected; an implausible one waits for the packets after it."""
        if self._held:
            self._held.append(packet)
            if packet.pts is None or len(self._held) > LOOK_AHEAD:
                yield from self._settled()
        elif packet.pts is not None and self._is_implausible(packet):
            self._held.append(packet)
        else:
            yield self._corrected(packet)

    def _settled(self) -> Iterator[av.Packet]:
        """The waiting packet, and those after it that need not wait themselves."""
        (first, *following), self._held = self._held, []
        self._decide(first, [packet for packet in following if packet.pts is not None])
        yield self._corrected(first)
        for packet in following:
            yield from self.push(packet)

    def _is_implausible(self, packet: av.Packet) -> bool:
        return self._offset_of(packet) == self.offset and (self._steps_ahead(packet) or self._steps_back(packet))

    def _steps_ahead(self, packet: av.Packet) -> bool:
        """Whether a packet is stamped too far ahead, and no sound continued meanwhile."""
        if self._highest is None or packet.pts + self.offset <= self._highest + self._longest_step:
            return False
        left = (self._highest - self.offset) * self._time_base
        continued = left + self._longest_step * self._time_base / 2
        return not any(
            begin <= left + CONTINUES_WITHIN and latest >= continued for begin, latest in self._others.values()
        )

    def _steps_back(self, packet: av.Packet) -> bool:
        """Whether a packet is stamped no later than what is stored before it must be."""
        if self._highest is None:
            return False
        if self._has_order(packet):
            return self._latest is not None and packet.dts + self.offset <= self._latest
        # A key picture is shown after all that is stored before it.
        window = 0 if packet.is_keyframe else self._window
        return packet.pts + self.offset <= self._highest - window

    def _has_order(self, packet: av.Packet) -> bool:
        return self._stored_order and packet.dts is not None

    def _decide(self, packet: av.Packet, following: list[av.Packet]) -> None:
        """Begin a new run with `packet` if those after it continue from there; else its stamp alone is wrong."""
        if self._steps_ahead(packet):
            ahead = [later for later in following if self._steps_ahead(later)]
            if 2 * len(ahead) >= len(following):
                self._begin_run([packet, *ahead], [later for later in following if later not in ahead])
            else:
                packet.pts, packet.dts = self._highest - self.offset, None  # a time near its neighbours
        elif following and self._steps_back(packet):
            later = following[0]
            if self._has_order(packet) and self._has_order(later):
                continues = packet.dts < later.dts <= self._latest - self.offset
            elif packet.is_keyframe:
                continues = later.pts != packet.pts and later.pts <= self._highest - self.offset
            else:
                continues = later.pts != packet.pts and self._steps_back(later)
            if continues:
                self._begin_run([packet, *following], [])

    def _begin_run(self, members: list[av.Packet], stragglers: list[av.Packet]) -> None:
        """Choose the offset with which `members` come next: that of an earlier run where they return to one.

        stragglers: packets stored among them that are shown before the discontinuity.
        """
        begin = min(packet.pts for packet in members)
        highest = max([self._highest, *(packet.pts + self.offset for packet in stragglers)])
        step = begin + self.offset - highest
        earlier = [0, *(run.offset for run in self.runs)]
        returned = [o for o in reversed(earlier) if 0 < begin + o - highest <= CONTINUES_WITHIN / self._time_base]
        self._before, self._boundary, self._near_boundary = self.offset, highest, LOOK_AHEAD
        self.offset = returned[0] if returned else round(highest + self._step) - begin
        first = begin + self.offset
        self.runs.append(
            ClockRun(
                first=first,
                offset=self.offset,
                place=float((first - self._start) * self._time_base),
                step=float(step * self._time_base),
            )
        )
        self._latest = None

    def _offset_of(self, packet: av.Packet) -> int:
        """The offset of the run a packet belongs to: just after a discontinuity it may still be the run before."""
        if self._near_boundary and packet.pts + self.offset < self._boundary - self._longest_step:
            if abs(packet.pts + self._before - self._boundary) <= CONTINUES_WITHIN / self._time_base:
                return self._before
        return self.offset

    def _corrected(self, packet: av.Packet) -> av.Packet:
        """`packet` on the continuous clock, whose state is updated."""
        self._near_boundary = max(0, self._near_boundary - 1)
        if packet.pts is not None:
            if offset := self._offset_of(packet):
                packet.pts += offset
                packet.dts = None if packet.dts is None else packet.dts + offset
            self._start = packet.pts if self._start is None else self._start
            self._highest = packet.pts if self._highest is None else max(self._highest, packet.pts)
            if packet.dts is not None:
                self._latest = packet.dts if self._latest is None else max(self._latest, packet.dts)
        return packet
