"""Which source frame each output frame shows, and which instant of the voice belongs to it."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..errors import LatentSyncError
from ..options import EXTENSIONS, LENGTHS


@dataclass(frozen=True)
class Timeline:
    """The output frame by frame.

    source: index of the source frame shown by each output frame. times: the instant (seconds) at which it appears,
    which is also the instant of the voice it hears. fps: the constant rate, or the average one where `variable`.
    seconds: end of the last frame. restarts: output frames at which the source jumps back to its start.
    """

    source: tuple[int, ...]
    times: tuple[Fraction, ...]
    fps: Fraction
    variable: bool
    seconds: Fraction
    restarts: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.source)

    def breaks(self, cuts: Collection[int]) -> frozenset[int]:
        """Output frames with which a new shot begins: restarts, and source `cuts` crossed in either direction."""
        ordered = sorted(cuts)
        crossed = set(self.restarts)
        for frame in range(1, len(self.source)):
            low, high = sorted((self.source[frame - 1], self.source[frame]))
            if bisect_right(ordered, low) < bisect_right(ordered, high):
                crossed.add(frame)
        return frozenset(crossed)


def wanted_seconds(voice: Fraction, video: Fraction | None, length: str, extend: str) -> Fraction:
    """How long the output is to be, in seconds.

    voice, video: what the two inputs last; None for a video not read to its end, which is at least as long as needed.
    length: "audio", "video" or "shortest". extend: "none" never outlasts the video.
    """
    if length not in LENGTHS:
        raise LatentSyncError(f"Length {length!r} is unknown; choose one of {', '.join(LENGTHS)}.")
    if extend not in EXTENSIONS:
        raise LatentSyncError(f"Extension {extend!r} is unknown; choose one of {', '.join(EXTENSIONS)}.")
    if video is None:
        if length == "video":
            raise ValueError("length 'video' needs the video's own length")
        return voice
    if length == "video":
        return video
    return min(voice, video) if length == "shortest" or extend == "none" else voice


def plan_timeline(
    times: Sequence[Fraction],
    fps: Fraction,
    voice: Fraction,
    *,
    length: str = "audio",
    extend: str = "pingpong",
    rate: Fraction | None = None,
    variable: bool = False,
    complete: bool = True,
) -> Timeline:
    """Lay out the output for source frames shown at `times` (seconds, from 0) and a voice of `voice` seconds.

    fps: the source's constant or average rate. rate: the output's constant rate; None keeps the source's, and with
    `variable` every source frame keeps its own time. complete: False when reading stopped before the source's end.
    A constant rate gives round(seconds * rate) frames of what `length` asks. When the voice outlasts the video,
    `extend` plays it back and forth, loops it, holds its last frame, or ends with it.
    Raises LatentSyncError when not even one frame results.
    """
    video = times[-1] + 1 / fps
    seconds = wanted_seconds(voice, video if complete else None, length, extend)
    keeps_times = variable and rate is None
    out_rate = fps if rate is None else rate
    count = None if keeps_times else round(seconds * out_rate)
    if count == 0 or seconds <= 0:
        raise LatentSyncError(
            f"The output would be {float(seconds):.3f} s long, less than one frame at {float(out_rate):.3f} fps; "
            f"a longer voice or video is needed."
        )
    if keeps_times:
        source, instants, seconds = _own_times(times, video, seconds, extend)
    elif rate is None:
        source = [_nth_frame(i, len(times), extend) for i in range(count)]
        instants, seconds = [i / out_rate for i in range(count)], count / out_rate
    else:
        instants, seconds = [i / out_rate for i in range(count)], count / out_rate
        source = [_frame_at(instant, times, video, extend) for instant in instants]
    restarts = {i for i in range(1, len(source)) if extend == "loop" and source[i] < source[i - 1]}
    return Timeline(tuple(source), tuple(instants), out_rate, keeps_times, seconds, frozenset(restarts))


def _nth_frame(index: int, frames: int, extend: str) -> int:
    """The source frame that the output's frame `index` shows when both run at one rate."""
    lap, step = divmod(index, frames)
    if extend == "pingpong":
        return frames - 1 - step if lap % 2 else step
    return step if extend == "loop" else min(index, frames - 1)


def _frame_at(instant: Fraction, times: Sequence[Fraction], video: Fraction, extend: str) -> int:
    """The source frame on screen at `instant`, playing on as `extend` says."""
    lap, within = divmod(instant, video)
    if lap and extend in ("hold", "none"):
        return len(times) - 1
    if extend == "pingpong" and lap % 2:
        return max(bisect_left(times, video - within) - 1, 0)
    return max(bisect_right(times, within) - 1, 0)


def _own_times(times: Sequence[Fraction], video: Fraction, seconds: Fraction, extend: str):
    """Source frames with their own durations until `seconds`: a frame is shown if half of it lies before the end."""
    durations = [b - a for a, b in zip(times, [*times[1:], video], strict=True)]
    source, instants, now = [], [], Fraction(0)
    for index in range(math.ceil(seconds / min(durations)) + 1):
        frame = _nth_frame(index, len(times), extend)
        if source and now + durations[frame] / 2 >= seconds:
            break
        source.append(frame)
        instants.append(now)
        now += durations[frame]
    return source, instants, now
