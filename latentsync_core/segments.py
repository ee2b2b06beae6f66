"""Cutting a clip into segments: stretches of output that are generated, written and kept one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from .diffusion import Window

SEGMENT_FRAMES = 128  # output frames, 8 windows: 5 s of work lost at most, and latents of that many frames at a time


@dataclass(frozen=True)
class Segment:
    """Output frames `start` to `stop` (exclusive) with the windows that lie in them.

    index: its place among the clip's segments. windows: in frames of the clip. first_window: how many windows lie
    before them.
    """

    index: int
    start: int
    stop: int
    windows: tuple[Window, ...]
    first_window: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def frames(self) -> slice:
        """Where its frames are among the clip's."""
        return slice(self.start, self.stop)

    @property
    def own_windows(self) -> tuple[Window, ...]:
        """The windows in frames of the segment."""
        return tuple(Window(span.start - self.start, span.stop - self.start) for span in self.windows)


def plan_segments(frames: int, windows: Sequence[Window]) -> tuple[Segment, ...]:
    """Divide `frames` output frames into segments of about 128 that no window crosses; windows may overlap.

    A segment is longer where windows bridge its end; the last takes a rest of less than half a length.
    """
    length = SEGMENT_FRAMES
    crossed = {frame for span in windows for frame in range(span.start + 1, span.stop)}
    cuts = [0]
    for frame in range(1, frames):
        if frame - cuts[-1] >= length and frames - frame >= length / 2 and frame not in crossed:
            cuts.append(frame)
    segments, first = [], 0
    for index, (start, stop) in enumerate(zip(cuts, [*cuts[1:], frames], strict=True)):
        inside = tuple(span for span in windows if start <= span.start < stop)
        segments.append(Segment(index, start, stop, inside, first))
        first += len(inside)
    return tuple(segments)
