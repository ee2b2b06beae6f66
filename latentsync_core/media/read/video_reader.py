"""Read a video as a stream of upright pictures with their true times, forwards, backwards or by any list of indices.

The picture returned for index i is always bit-identical to the i-th of a straight decode. Going back works by seeking
to a key picture and decoding from there, and every picture so reached is compared with a checksum taken on the way
forwards (open groups of pictures, refresh without key pictures and broken indexes all make seeking inexact). Where
one differs, the file is decoded from its start instead, which is slower but exact.

A picture that does not decode is replaced by the last good one before it, at its own time, so that nothing after it
moves; what was replaced is counted and listed (see damage.py).
"""

import itertools
import logging
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error

from ..picture.frame import Frame
from ..picture.planes import Orientation, checksum, upright
from .damage import Damage
from .decoding import TrackDecoder
from .info import VideoInfo, describe_video, first_picture
from .output_order import warn_of_squeezed
from .source import open_media, video_stream
from .stamps import ClockRun

log = logging.getLogger(__name__)

RECENT_FRAMES = 8  # pictures kept behind the newest one while reading forwards
BACKWARD_FRAMES = 48  # pictures decoded at a time while reading backwards
BACKWARD_BYTES = 192 * 2**20  # at most this memory, but not fewer pictures than while reading forwards
VARIABLE_DEVIATION = Fraction(1, 2)  # frames off the constant grid from which a rate counts as variable


def is_variable(times: Sequence[Fraction], fps: Fraction) -> bool:
    """Whether any of `times` (seconds) is more than half a frame off the constant grid 0, 1/fps, 2/fps, ..."""
    return any(abs((time - times[0]) * fps - index) > VARIABLE_DEVIATION for index, time in enumerate(times))


class SeekError(Exception):
    """A picture reached by seeking is not the one a straight decode gave."""


class DamageMetError(Exception):
    """The first sign of damage, while several threads decode."""


class VideoReader:
    """Upright pictures of the first video track of `path`, in any order; use it in a `with` block.

    info: VideoInfo. damage: what was lost or concealed so far. At most 48 pictures (192 MiB) are held.
    Raises LatentSyncError for a file that cannot be opened or decoded, or whose picture size changes midway.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.damage = Damage()
        self._threads = "AUTO"
        self._open()
        try:
            picture = first_picture(self._container, self._stream, path)
            self.info: VideoInfo = describe_video(self._container, self._stream, picture, path)
        except BaseException:
            self.close()
            raise
        self._orientation = Orientation.of(picture)
        self._sizes = {(picture.width, picture.height)}
        picture_bytes = sum(plane.buffer_size for plane in picture.planes)
        self._chunk = min(BACKWARD_FRAMES, max(RECENT_FRAMES, BACKWARD_BYTES // picture_bytes))
        # What the first pass records of every picture, by index.
        self._times: list[Fraction] = []
        self._stamps: list[int | None] = []
        self._index_of_stamp: dict[int, int] = {}
        self._checksums: list[int] = []
        self._keys: list[int] = []
        self._replaced: set[int] = set()
        self._runs: list[ClockRun] = []
        self._constant = True
        self._warned_of_stamp = False
        self._ended = False
        self._seek_works = True
        self._latest: Frame | None = None
        self._restart()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames already returned stay valid."""
        self._release()

    @property
    def damaged(self) -> int:
        """Frames replaced or incomplete so far."""
        return self.damage.replaced + self.damage.incomplete

    @property
    def times(self) -> tuple[Fraction, ...]:
        """Seconds from the first picture of every picture decoded so far; complete after a full pass."""
        return tuple(self._times)

    @property
    def start(self) -> Fraction:
        """Seconds on the container's own clock at which the first picture is shown, once it has been read; else 0."""
        return self._origin * self._stream.time_base if self._times else Fraction(0)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames `start` to `stop` (exclusive, or the end) in order."""
        for index in itertools.count(start) if stop is None else range(start, stop):
            frame = self._frame(index)
            if frame is None:
                return
            yield frame

    def frames_at(self, indices: Iterable[int]) -> Iterator[Frame]:
        """Yield the frames at `indices` in that order, which may repeat, skip and go backwards.

        Raises IndexError for an index the file does not have.
        """
        for index in indices:
            frame = self._frame(index)
            if frame is None:
                raise IndexError(f"frame {index} of {self.path} was asked for, it has {len(self._times)}")
            yield frame

    def scan_times(self) -> tuple[Fraction, ...]:
        """Seconds from the first picture of every picture, from the packets alone; nothing is decoded.

        Equals `times` after a full pass where the file is whole and its time stamps have no discontinuity.
        """
        with open_media(self.path, "a video file") as container:
            stream = video_stream(container, self.path)
            given = (p.pts for p in container.demux(stream) if p.pts is not None and not p.is_discard)
            stamps = sorted(filter(self._shows, given))
            return tuple((stamp - stamps[0]) * stream.time_base for stamp in stamps)

    def _shows(self, stamp: int | Fraction) -> bool:
        return True

    def _frame(self, index: int) -> Frame | None:
        """The frame at `index`, None past the end."""
        if index < 0:
            raise IndexError(f"frame {index} of {self.path} was asked for, the first is 0")
        if self._latest is None or self._latest.index != index:
            picture = self._reach(index)
            if picture is None:
                return None
            self._latest = Frame(index, self._times[index], upright(picture, self._orientation))
        return self._latest

    def _reach(self, index: int) -> av.VideoFrame | None:
        """The stored picture at `index`: buffered, ahead in the stream, or reached by seeking back."""
        if self._ended and index >= len(self._times):
            return None
        if index < self._position - len(self._recent):
            self._go_back(index)
        try:
            while self._position <= index:
                if not self._advance():
                    return None
        except SeekError:
            self._give_up_seeking()
            return self._reach(index)
        except DamageMetError:
            self._threads = "NONE"  # with frame threads the output for damaged data differs between decodes
            self._restart(self._chunk)
            return self._reach(index)
        return self._recent[index - self._position]

    def _advance(self) -> bool:
        """Read one picture more into the buffer; False at the end of the file."""
        index = self._position
        while index == len(self._times):
            if self._ended or not self._learn():
                return False
        # A replaced picture shows the last good one; at the very start, the first that comes.
        picture = self._recent[-1] if index in self._replaced and self._recent else self._next_picture(index)
        if picture is None:
            return False
        self._recent.append(picture)
        self._position += 1
        return True

    def _next_picture(self, index: int) -> av.VideoFrame | None:
        """The next picture that decodes, to be shown at `index`; SeekError where a straight decode gave another."""
        picture, self._held = self._held or self._decoded()[2], None
        if index in self._replaced:
            self._held = picture
        elif self._checking and (picture is None or not self._is_known(picture, index)):
            raise SeekError
        return picture

    def _learn(self) -> bool:
        """Record times, checksums and kinds up to the next picture past all known ones; False where none is left."""
        due, stamp, picture = self._decoded()
        self._held = picture
        if self._decoder.troubled and self._threads != "NONE":
            raise DamageMetError
        self._warn_of_stamps()
        last = self._last_stamp if self._times else None
        for lost in self._decoder.lost(due, stamp, last, self._constant):
            self._learn_frame(lost, None)
        self.damage.dropped = self._decoder.dropped
        if picture is None:
            self._ended = True
            self._note_end()
            return len(self._times) > self._position
        self._learn_frame(stamp, picture)
        return True

    def _warn_of_stamps(self, squeezed: bool = False) -> None:
        """Warn once of a discontinuity of the time stamps, and once of stamps that do not increase."""
        clock, order = self._decoder.clock, self._decoder.order
        if clock.runs and not self._runs:
            clock.runs[0].warn(self.path)
        self._runs = list(clock.runs)
        if (squeezed or order.squeezed) and not self._warned_of_stamp:
            warn_of_squeezed(self.path, len(self._times))
            self._warned_of_stamp = True

    def _learn_frame(self, stamp: int | Fraction | None, picture: av.VideoFrame | None) -> None:
        """Record the next frame: `picture`, or None for one that is lost."""
        index, step = len(self._times), 1 / self.info.fps
        time = self._times[-1] + step if index else Fraction(0)
        if index == 0:
            self._origin = self._last_stamp = stamp or 0
        elif stamp is not None:
            stated = (stamp - self._origin) * self._stream.time_base
            if not self._decoder.is_plausible(stamp, self._last_stamp):
                stamp_of_time = self._last_stamp + round(step / self._stream.time_base)
            elif stated > self._times[-1]:
                time, stamp_of_time = stated, stamp
            else:
                self._warn_of_stamps(squeezed=True)
                stamp_of_time = stamp
            self._last_stamp = max(self._last_stamp, stamp_of_time)
        self._times.append(time)
        self._constant &= abs(time - index * step) <= step * VARIABLE_DEVIATION
        self._stamps.append(stamp if picture is None else picture.pts)
        self._index_of_stamp[self._stamps[-1]] = index
        self._checksums.append(0 if picture is None else checksum(picture))
        if picture is None:
            self._replaced.add(index)
        elif picture.key_frame:
            self._keys.append(index)
        if picture is None or picture.is_corrupt:
            self.damage.note(self.path, index, time, self._decoder.reason, replaced=picture is None)

    def _note_end(self) -> None:
        """At the end of the first pass: warn of pictures that were dropped, and of an end before the stated one."""
        if self.damage.dropped:
            self.damage.warn_of_dropped(self.path)
        if missing := self._decoder.seconds_missing():
            self.damage.note_cut(self.path, self._times[-1], missing)

    def _is_known(self, picture: av.VideoFrame, index: int) -> bool:
        """Whether `picture` is the one a straight decode gave at `index`."""
        return picture.pts == self._stamps[index] and checksum(picture) == self._checksums[index]

    def _go_back(self, index: int) -> None:
        """Move the decoder to a picture so early that decoding on to `index` fills the buffer."""
        start = max(0, index - self._chunk + 1)
        before = bisect_right(self._keys, start)
        for key in reversed(self._keys[max(1, before - 2) : before]):  # the first key is the start of the file
            if self._seek_works and self._stamps[key] is not None and self._seek(key, start):
                return
        self._restart(self._chunk)

    def _seek(self, key: int, start: int) -> bool:
        """Seek to the key picture at index `key`; whether the decoder is then at or before `start`."""
        stamp = self._stamps[key]
        offset = next((run.offset for run in reversed(self._runs) if run.first <= stamp), 0)
        try:
            self._container.seek(stamp - offset, stream=self._stream)
        except av.error.FFmpegError:
            return False
        self._position = start
        pictures = self._decode(offset)
        for due, shown, picture in pictures:
            index = None if picture is None else self._index_of_stamp.get(picture.pts)
            # Pictures shown before the key picture but stored after it may lack their references: skipped.
            if index is not None and picture.key_frame and index <= start:
                self._continue_from(
                    index, itertools.chain([(due, shown, picture)], pictures), self._chunk, checking=True
                )
                return True
            if picture is None or picture.pts is None or picture.pts > self._stamps[start]:
                return False
        return False

    def _give_up_seeking(self) -> None:
        """Stop seeking in this file and continue from its start."""
        level = logging.INFO if self._runs else logging.WARNING  # discontinuities have been warned of
        log.log(level, "%s: seeking gives other pictures than decoding in order; going back will be slow", self.path)
        self._seek_works = False
        self._restart(self._chunk)

    def _restart(self, kept: int = RECENT_FRAMES) -> None:
        """Return to the very start, with a new decoder."""
        self._release()
        self._open()
        self._continue_from(0, self._decode(), kept, checking=False)

    def _release(self) -> None:
        """Close the container once its decoder is idle.

        PyAV frees a decoder with the GIL held and waits for its frame threads; one that logs at that moment waits for
        the GIL (torchvision switches FFmpeg's log on), and both wait for ever. Flushing waits without the GIL.
        """
        decoder = self._stream.codec_context
        if decoder.is_open:
            decoder.flush_buffers()
        self._container.close()

    def _continue_from(self, index: int, pictures: Iterator, kept: int, checking: bool) -> None:
        """Continue with `pictures`, the first of which is the one at `index`; keep the last `kept` of them."""
        self._position = index
        self._pictures = pictures
        self._checking = checking
        self._held: av.VideoFrame | None = None
        self._recent: deque[av.VideoFrame] = deque(maxlen=kept)

    def _open(self) -> None:
        self._container = open_media(self.path, "a video file")
        try:
            self._stream = video_stream(self._container, self.path)
        except BaseException:
            self._container.close()
            raise
        self._stream.thread_type = self._threads

    def _decoded(self) -> tuple[list[int], int | Fraction | None, av.VideoFrame | None]:
        """The next picture that decodes, the stamps due before it, and its own."""
        return next(self._pictures, ([], None, None))

    def _decode(self, offset: int = 0) -> Iterator[tuple[list[int], int | Fraction | None, av.VideoFrame | None]]:
        """Stored pictures in display order from the container's position on; `offset`: as for TrackDecoder."""
        self._decoder = TrackDecoder(
            self._container, self._stream, self.path, fps=self.info.fps, sizes=self._sizes, offset=offset
        )
        return self._decoder.pictures()
