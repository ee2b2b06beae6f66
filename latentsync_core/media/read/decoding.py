"""Decode a track's packets, and find the pictures that are missing from the decoder's output.

A damaged packet gives an error, a picture marked corrupt, or silently nothing. The time stamp of the packet shows the
loss all the same; where the container lost the packet too, the gap in a constant rate does.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error

from ...errors import LatentSyncError
from ..picture.planes import native_picture
from .output_order import OutputOrder
from .source import read_packets
from .stamps import StampClock

SUSPECT_PICTURES = 64  # pictures after a sign of damage within which gaps count as losses: decoders delay by 32 at most
PLAUSIBLE_STEP = 10  # seconds: after a sign of damage, a time stamp further ahead is part of the damage
SIZE_CHANGES = 25  # pictures in a row of another size that are a change of size; fewer are a damaged key picture
END_SIZE_CHANGES = 3  # and so many where the track ends with them
CHUNKED_FORMATS = {"matroska", "avi"}  # packets are contiguous in them, so that bytes outside packets show damage
CHUNK_BYTES = 256  # more than the headers between two packets take
INDEXED_FORMATS = {"mov", "matroska", "avi"}  # state their length in a header, not by an estimate
CUT_SECONDS = 0.5  # an end this much before the stated one is a truncated file


class TrackDecoder:
    """Stored pictures of a track in the order they are shown, and the time stamps for which none came.

    clock, order: the corrections of the stamps. reason: the latest sign of damage. troubled: whether there was one.
    dropped: pictures left out, because their times were taken already.
    """

    def __init__(self, container, stream, path: Path, *, fps: Fraction, sizes: set[tuple[int, int]], offset: int = 0):
        """Decode from the container's present position on.

        Args:
            container, stream: an open file and its video track.
            path: of the file, for messages.
            fps: the track's average rate.
            sizes: (width, height) that pictures may have.
            offset: ticks by which time stamps are corrected at the start (see stamps.py).
        """
        self._container, self._stream, self._path, self._sizes = container, stream, path, sizes
        self._step = 1 / (fps * stream.time_base)  # ticks
        self._formats = set(container.format.name.split(","))
        reordered = bool(stream.codec_context.has_b_frames)
        self.clock = StampClock(stream.time_base, self._step, self._formats, reordered, offset)
        self.order = OutputOrder(self._step)
        self._expected: list[int] = []  # a heap of stamps of packets whose pictures are still to come
        self._stamped = False
        self._shown: float = -math.inf  # stamp of the latest picture
        self._given_up: deque[int] = deque(maxlen=SUSPECT_PICTURES)
        self._first_key: int | None = None
        self._suspect = 0
        self._odd_sized = self._places = 0
        self._data_end: int | None = None
        self._reached = Fraction(0)
        self._last_dts: float = -math.inf
        self._read_all = False
        self.reason = "no picture came of a packet"
        self.troubled = False
        self.dropped = 0

    def pictures(self) -> Iterator[tuple[list[int], int | Fraction | None, av.VideoFrame | None]]:
        """Every picture that decodes, whole or concealed: the stamps that were due before it, its own, itself.

        Stamps rise; the picture's own pts is as the decoder gave it. None where the file states no stamp; at the end
        None and None. Raises LatentSyncError where the track changes its size.
        """
        tracks = [track for track in self._container.streams if track.type in ("video", "audio", "subtitle")]
        for stored in read_packets(self._container, tracks, self._on_trouble):
            for packet in self.clock.push(stored) if self._is_ours(stored) else ():
                self._note_stamps(packet)
                for picture in self._decode(packet):
                    self.order.add(picture)
                    yield from self._in_order(patient=self.order.disordered or not self._suspect)
        yield from self._in_order(patient=False)
        if self._odd_sized >= END_SIZE_CHANGES:
            raise self._size_change()
        yield self._overdue(None), None, None

    def _decode(self, packet: av.Packet) -> Iterator[av.VideoFrame]:
        """The pictures decoded from a packet whose times are free."""
        try:
            pictures = packet.decode()
        except av.error.FFmpegError as error:
            self._on_trouble(error.strerror)
            return
        for picture in pictures:
            if picture.is_corrupt:
                self._on_trouble("a picture is incomplete")
            if not self._is_of_size(picture):
                continue
            if self._is_due(picture.pts):
                yield native_picture(picture)
            else:
                self.dropped += 1

    def _in_order(self, patient: bool) -> Iterator[tuple[list[int], int | Fraction | None, av.VideoFrame]]:
        """The held pictures that can be returned now, each with the stamps that were due before it."""
        ready = self.order.ready(self._expected, patient)
        for _, picture in ready:
            if picture.pts in self._expected:
                self._expected.remove(picture.pts)
        heapq.heapify(self._expected)
        for stamp, picture in ready:
            self._places += 1
            yield [] if stamp is None else self._overdue(stamp), stamp, picture
            if stamp is not None:
                self._shown = stamp
                self._reached = max(self._reached, (stamp + self._step) * self._stream.time_base)
            self._suspect = max(0, self._suspect - 1)

    def lost(self, due: list[int], stamp: int | None, last: int | None, constant: bool) -> list[int]:
        """Stamps of the pictures that are missing between those stamped `last` and `stamp`, both exclusive.

        due: what pictures() gave with the later one. last: None for the start of the track. stamp: None for its end.
        constant: whether the rate was, so far.
        """
        lost, before = [], last
        for name in due:
            # Second fields and pictures never meant to be shown lie closer than half a frame to a neighbour.
            alone = all(abs(name - other) > self._step / 2 for other in (before, stamp) if other is not None)
            if alone and (before is None or name > before) and self.is_plausible(name, before):
                lost.append(name)
                before = name
        ends = [*lost, *([] if stamp is None else [stamp])]
        if constant and last is not None and ends and self.is_plausible(ends[-1], last):
            if self._suspect or self._is_cut_before(ends[-1]):
                lost = fill_gaps([last, *ends], self._step) + ([] if stamp is not None else [ends[-1]])
        self._places += len(lost)
        return lost

    def _is_cut_before(self, stamp: int | Fraction) -> bool:
        """Whether pictures shown before `stamp` may be stored after the point at which the file was truncated.

        Reference pictures stored earlier are still there, others shown between them are not. Their gap is filled like
        any other, so that every decoded picture is kept and a constant rate stays constant.
        """
        stated = self._stated_end()
        whole = stated is not None and stated - self._reached < self._step * self._stream.time_base / 2
        cut = self._read_all and not whole and self._last_dts < stamp - self._step / 2
        if cut and not self.troubled:
            self.reason = "the file ends before it was stored"
        return cut

    def is_plausible(self, stamp: int, last: int | None) -> bool:
        """Whether a picture stamped `stamp` may follow one stamped `last`: not where damage changed the stamp."""
        time, stated = stamp * self._stream.time_base, self._stated_end()
        late = (
            stated is not None and time > stated + max(0, self._container.start_time or 0) / av.time_base + CUT_SECONDS
        )
        is_far = last is not None and time - last * self._stream.time_base > PLAUSIBLE_STEP
        return not (late and self._suspect or is_far and (late or self._suspect))

    def seconds_missing(self) -> float:
        """At the end: seconds by which the file ends before the length that its header states, 0 for a whole one."""
        stated = self._stated_end()
        gap = 0 if stated is None else stated - self._reached
        enough = 1.5 * self._step * self._stream.time_base if self.troubled else CUT_SECONDS
        return float(gap) if gap > enough else 0.0

    def _stated_end(self) -> Fraction | None:
        """Seconds that the file's header says it lasts; None where that is an estimate or has discontinuities."""
        stated = self._container.duration
        known = stated and self._formats & INDEXED_FORMATS and not (self.clock.runs or self.clock.offset)
        return Fraction(stated, av.time_base) if known else None

    def _is_ours(self, packet: av.Packet) -> bool:
        """Whether a packet is one to decode; records the extent and damage that every packet shows."""
        self._check_position(packet)
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None and packet.size:
            self._reached = max(self._reached, (time + (packet.duration or 0)) * packet.time_base)
        if packet.stream.index != self._stream.index:
            if packet.stream.type == "audio":
                self.clock.note_sound(packet)
            return False
        if packet.is_corrupt:
            self._on_trouble("a packet is incomplete")
        return True

    def _note_stamps(self, packet: av.Packet) -> None:
        """Expect a picture of a packet whose stamps are corrected."""
        self._read_all |= not packet.size
        if packet.dts is not None:
            self._last_dts = max(self._last_dts, packet.dts)
        if packet.is_keyframe and self._first_key is None and packet.pts is not None:
            self._first_key = packet.pts
        # What precedes the first key picture, stored or shown, may refer to what the file does not hold.
        known = packet.pts is not None and self._first_key is not None and packet.pts >= self._first_key
        if known and packet.size and not packet.is_discard:
            heapq.heappush(self._expected, packet.pts)
            self._stamped = True

    def _is_due(self, stamp: int | None) -> bool:
        """Whether a picture belongs to a packet, and its time is free: damage makes decoders invent or delay some."""
        if stamp is None or not self._stamped:
            return True
        unexpected = stamp not in self._expected or stamp <= self._shown
        if self._suspect and not self.order.disordered and unexpected:
            return False
        return stamp not in self._given_up

    def _overdue(self, stamp: int | None) -> list[int]:
        """The stamps before `stamp` (None: all) for which no picture came; they and `stamp` are no longer expected."""
        if stamp is not None and self._expected and not self.is_plausible(stamp, self._expected[0]):
            return []
        due = []
        while self._expected and (stamp is None or self._expected[0] <= stamp):
            due.append(heapq.heappop(self._expected))
        overdue = [name for name in due if name != stamp and name > self._shown]
        self._given_up.extend(overdue)
        return overdue

    def _check_position(self, packet: av.Packet) -> None:
        """Suspect damage where bytes lie between this packet and the one before that belong to no packet."""
        if packet.pos is None or packet.pos < 0 or not self._formats & CHUNKED_FORMATS:
            return
        if self._data_end is not None and packet.pos - self._data_end > CHUNK_BYTES:
            self._on_trouble("bytes that belong to no packet")
        self._data_end = packet.pos + packet.size

    def _on_trouble(self, reason: str) -> None:
        """A sign of damage: for a while, what is missing counts as lost."""
        self._suspect, self.reason, self.troubled = SUSPECT_PICTURES, reason, True

    def _is_of_size(self, picture: av.VideoFrame) -> bool:
        """Whether a picture has the track's size; LatentSyncError where enough in a row have another."""
        if (picture.width, picture.height) in self._sizes:
            self._odd_sized = 0
            return True
        self._odd_sized += 1
        self._odd_size = f"{picture.width}x{picture.height}"
        self._on_trouble(f"a picture of {self._odd_size}")
        if self._odd_sized == SIZE_CHANGES:
            raise self._size_change()
        return False

    def _size_change(self) -> LatentSyncError:
        width, height = next(iter(self._sizes))
        seconds = float(self._places * self._step * self._stream.time_base)
        return LatentSyncError(
            f"{self._path}: the picture size changes from {width}x{height} to {self._odd_size} at frame {self._places} "
            f"({seconds:.2f} s); cut the video there, or convert it to one size first"
        )


def fill_gaps(stamps: list[int], step: Fraction) -> list[int]:
    """`stamps` without the first and last, with those added that a constant rate of `step` ticks asks for between."""
    filled = []
    for before, after in zip(stamps, stamps[1:], strict=False):
        steps = round((after - before) / step)
        filled += [before + round(number * (after - before) / Fraction(steps)) for number in range(1, steps)]
        filled.append(after)
    return filled[:-1]
