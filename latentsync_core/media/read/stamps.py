"""The clock of a track: packet stamps made one unbroken run where the clock was set back, leapt ahead or slipped once.

Files joined end to end, cameras that split or pause, streams that were restarted and counters that wrap give stamps
that begin anew in the middle. Stamps are mended before the decoder sees the packets, so that each picture and block of
sound carries a stamp of its own, and whatever comes later needs to know only one clock.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

log = logging.getLogger(__name__)

LEAP = 60  # seconds: a longer step ahead is a clock that was set, not a picture or a silence that lasts
BROADCAST_LEAP = 10  # the same in formats made to be joined and restarted
BROADCAST_FORMATS = {"mpegts", "mpeg", "flv", "live_flv"}
UNORDERED_FORMATS = {
    "matroska",
    "webm",
    "ogg",
    "avi",
}  # store no decoding times: FFmpeg derives them
REORDERED_PICTURES = 16  # by which a stamp may lie behind the highest one before it where decoding times are not stored
LOOK_AHEAD = 8  # packets after a strange one that tell whether the clock jumped or that one is odd
RUN_ON = 1  # seconds: what goes on this close to where something ended continues it


@dataclass(frozen=True)
class ClockRun:
    """A run of packets on one clock. first: the mended stamp of its first one. offset: mended minus stored stamps, both
    in ticks. place: seconds from the start of the track at which it begins. jump: seconds by which the clock jumped."""

    first: int
    offset: int
    place: float
    jump: float

    def warn(self, path: Path) -> None:
        """Say that the clock of the picture jumps here."""
        log.warning(
            "%s: the clock of its video jumps %s by %.2f s at %.2f s, as where recordings were joined or paused; "
            "every frame is kept, and the frames after it follow at once",
            path,
            "ahead" if self.jump > 0 else "back",
            abs(self.jump),
            self.place,
        )


class StampClock:
    """Mends the stamps of one track's packets, in the order in which they are stored.

    time_base: seconds per tick. step: ticks from one picture to the next. formats: FFmpeg's names of the container's.
    reordered: whether pictures are stored in another order than they are shown. offset: the one of the run to begin
    with, where decoding starts in the middle. runs: those found after a jump.
    """

    def __init__(self, time_base: Fraction, step: Fraction, formats: set[str], reordered: bool, offset: int = 0):
        self.runs: list[ClockRun] = []
        self.offset = offset
        self._time_base, self._step = time_base, step
        self._leap = max((BROADCAST_LEAP if formats & BROADCAST_FORMATS else LEAP) / time_base, 3 * step)
        self._stored_order = not formats & UNORDERED_FORMATS
        self._window = REORDERED_PICTURES * step if reordered else 0
        self._start: int | None = None
        self._highest: int | None = None  # mended stamp
        self._latest: int | None = None  # mended decoding time
        self._held: list[av.Packet] = []
        self._before = 0  # offset of the run before this one
        self._join = 0  # highest mended stamp of that
        self._near_join = 0  # packets still to come among which one may belong to that
        self._others: dict[int, tuple[Fraction, Fraction]] = {}

    @property
    def end(self) -> Fraction | None:
        """Seconds, mended, of the highest stamp so far."""
        return None if self._highest is None else self._highest * self._time_base

    def hear(self, packet: av.Packet) -> None:
        """Note a packet of a track of sound: one that runs on through a gap of the picture shows that time did pass."""
        if packet.pts is not None:
            time = packet.pts * packet.time_base
            begin, latest = self._others.get(packet.stream.index, (time, time))
            self._others[packet.stream.index] = (begin if abs(time - latest) <= RUN_ON else time, time)

    def push(self, packet: av.Packet) -> Iterator[av.Packet]:
        """The packets whose stamps are settled now, mended; one with a strange stamp waits for what follows it."""
        if self._held:
            self._held.append(packet)
            if packet.pts is None or len(self._held) > LOOK_AHEAD:
                yield from self._settled()
        elif packet.pts is not None and self._is_strange(packet):
            self._held.append(packet)
        else:
            yield self._mended(packet)

    def _settled(self) -> Iterator[av.Packet]:
        """The packet that waited, and of those after it what does not have to wait itself."""
        (first, *following), self._held = self._held, []
        self._judge(first, [packet for packet in following if packet.pts is not None])
        yield self._mended(first)
        for packet in following:
            yield from self.push(packet)

    def _is_strange(self, packet: av.Packet) -> bool:
        return self._offset_of(packet) == self.offset and (self._leaps(packet) or self._falls_back(packet))

    def _leaps(self, packet: av.Packet) -> bool:
        """Whether a packet is stamped too far ahead, and no sound ran on meanwhile."""
        if self._highest is None or packet.pts + self.offset <= self._highest + self._leap:
            return False
        left = (self._highest - self.offset) * self._time_base
        ran_on = left + self._leap * self._time_base / 2
        return not any(begin <= left + RUN_ON and latest >= ran_on for begin, latest in self._others.values())

    def _falls_back(self, packet: av.Packet) -> bool:
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

    def _judge(self, packet: av.Packet, following: list[av.Packet]) -> None:
        """Begin a new run with `packet` if those after it go on from there; else its stamp alone is odd."""
        if self._leaps(packet):
            leaping = [later for later in following if self._leaps(later)]
            if 2 * len(leaping) >= len(following):
                self._begin_run([packet, *leaping], [later for later in following if later not in leaping])
            else:
                packet.pts, packet.dts = self._highest - self.offset, None  # a place near its neighbours
        elif following and self._falls_back(packet):
            later = following[0]
            if self._has_order(packet) and self._has_order(later):
                goes_on = packet.dts < later.dts <= self._latest - self.offset
            elif packet.is_keyframe:
                goes_on = later.pts != packet.pts and later.pts <= self._highest - self.offset
            else:
                goes_on = later.pts != packet.pts and self._falls_back(later)
            if goes_on:
                self._begin_run([packet, *following], [])

    def _begin_run(self, members: list[av.Packet], stragglers: list[av.Packet]) -> None:
        """Choose the offset with which `members` come next: that of an earlier run where they return to one.

        stragglers: packets stored among them that are shown before the jump.
        """
        begin = min(packet.pts for packet in members)
        highest = max([self._highest, *(packet.pts + self.offset for packet in stragglers)])
        jump = begin + self.offset - highest
        earlier = [0, *(run.offset for run in self.runs)]
        returned = [o for o in reversed(earlier) if 0 < begin + o - highest <= RUN_ON / self._time_base]
        self._before, self._join, self._near_join = self.offset, highest, LOOK_AHEAD
        self.offset = returned[0] if returned else round(highest + self._step) - begin
        first = begin + self.offset
        self.runs.append(
            ClockRun(
                first=first,
                offset=self.offset,
                place=float((first - self._start) * self._time_base),
                jump=float(jump * self._time_base),
            )
        )
        self._latest = None

    def _offset_of(self, packet: av.Packet) -> int:
        """The offset of the run a packet belongs to: just after a leap it may still be the run before."""
        if self._near_join and packet.pts + self.offset < self._join - self._leap:
            if abs(packet.pts + self._before - self._join) <= RUN_ON / self._time_base:
                return self._before
        return self.offset

    def _mended(self, packet: av.Packet) -> av.Packet:
        """`packet` on the one clock; takes note of where that stands now."""
        self._near_join = max(0, self._near_join - 1)
        if packet.pts is not None:
            if offset := self._offset_of(packet):
                packet.pts += offset
                packet.dts = None if packet.dts is None else packet.dts + offset
            self._start = packet.pts if self._start is None else self._start
            self._highest = packet.pts if self._highest is None else max(self._highest, packet.pts)
            if packet.dts is not None:
                self._latest = packet.dts if self._latest is None else max(self._latest, packet.dts)
        return packet
