"""Cutting a clip into segments: stretches of output that are generated, written and kept one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..diffusion import Window, WindowGroup, window_groups

SEGMENT_FRAMES = 128  # output frames, 8 windows: 5 s of work lost at most, and latents of that many frames at a time
SHORTEST = 0.9  # of that length: groups of windows, which are about as long, then make a segment each


@dataclass(frozen=True)
class Segment:
    """Output frames `start` to `stop` (exclusive) with the groups of windows that make them.

    index: its place among the clip's segments. groups: in frames of the clip. first_window: how many windows are
    denoised before its own; all_windows: how many for all segments.
    """

    index: int
    start: int
    stop: int
    groups: tuple[WindowGroup, ...]
    first_window: int
    all_windows: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def frames(self) -> slice:
        """Where its frames are among the clip's."""
        return slice(self.start, self.stop)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows that are denoised for it, those that groups share only once."""
        return tuple(dict.fromkeys(span for group in self.groups for span in group.windows))

    @property
    def reach(self) -> slice:
        """Its frames and those beyond that its windows take in."""
        ends = [(span.start, span.stop) for span in self.windows] + [(self.start, self.stop)]
        return slice(min(start for start, _ in ends), max(stop for _, stop in ends))

    @property
    def synced(self) -> tuple[Window, ...]:
        """The stretches of its frames that show a generated face, counted from its first."""
        return tuple(Window(group.start - self.start, group.stop - self.start) for group in self.groups)


def plan_segments(frames: int, windows: Sequence[Window]) -> tuple[Segment, ...]:
    """Divide `frames` output frames into segments of about 128 that no group of windows crosses.

    A segment is longer where a group bridges its end; the last takes a rest of less than half a length.
    """
    groups = window_groups(windows)
    crossed = {frame for group in groups for frame in range(group.start + 1, group.stop)}
    cuts = [0]
    for frame in range(1, frames):
        long_enough, rest = frame - cuts[-1] >= SHORTEST * SEGMENT_FRAMES, frames - frame
        if long_enough and rest >= SEGMENT_FRAMES / 2 and frame not in crossed:
            cuts.append(frame)
    segments, first, total = [], 0, sum(len(group.windows) for group in groups)
    for index, (start, stop) in enumerate(zip(cuts, [*cuts[1:], frames], strict=True)):
        inside = tuple(group for group in groups if start <= group.start < stop)
        segments.append(Segment(index, start, stop, inside, first, total))
        first += sum(len(group.windows) for group in inside)
    return tuple(segments)
