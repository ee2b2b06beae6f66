"""Divide a clip into the windows that the UNet denoises: disjoint, or overlapping and fused."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from ..intervals import runs_of
from ..options import WINDOW_FRAMES, check_window

GROUP_FRAMES = 128  # target length of a group: bounds what is on the device, and what is redone on resume, at once


@dataclass(frozen=True)
class Window:
    """Frames `start` to `stop` (exclusive) of the output, denoised together."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class WindowGroup:
    """Frames `start` to `stop` (exclusive) and all windows that cover any of them, which are denoised together.

    The outer windows may extend beyond these frames; what they predict there is used by the neighbouring group.
    """

    start: int
    stop: int
    windows: tuple[Window, ...]

    @property
    def reach(self) -> Window:
        """All frames that are denoised."""
        return Window(self.windows[0].start, self.windows[-1].stop)

    def moved(self, frames: int) -> "WindowGroup":
        """The same group, `frames` later."""
        windows = tuple(Window(span.start + frames, span.stop + frames) for span in self.windows)
        return WindowGroup(self.start + frames, self.stop + frames, windows)


def plan_windows(
    present: Sequence[bool], breaks: Collection[int] = (), window: int = WINDOW_FRAMES, overlap: int = 0
) -> tuple[Window, ...]:
    """Cover every frame with a face by windows of at most `window` frames.

    present: per output frame, whether there is a face to sync. breaks: frames at which a new shot begins.
    No window crosses a break or a frame without a face: motion modules would attend across unrelated frames.
    overlap: frames that neighbouring windows share at least; 0, as in the reference, makes them disjoint and the last
    one shorter, unpadded, since padding would change each of its frames (REFERENCE section 1). With an overlap every
    window has the full length.
    """
    check_window(window, overlap)
    windows: list[Window] = []
    for start, stop in runs_of(present, breaks):
        if overlap == 0:
            windows += [Window(first, min(first + window, stop)) for first in range(start, stop, window)]
        else:
            windows += overlapping_windows(start, stop, window, overlap)
    return tuple(windows)


def overlapping_windows(start: int, stop: int, window: int, overlap: int) -> list[Window]:
    """Full-length windows spread evenly over [start, stop) so that neighbours share `overlap` frames or more."""
    room = stop - start - window
    if room <= 0:
        return [Window(start, stop)]
    strides = -(-room // (window - overlap))
    firsts = [start + room * index // strides for index in range(strides + 1)]
    return [Window(first, first + window) for first in firsts]


def window_chains(windows: Sequence[Window]) -> list[tuple[Window, ...]]:
    """Windows in ascending order, gathered with those they overlap: each chain is best denoised together."""
    chains: list[list[Window]] = []
    for span in windows:
        if chains and span.start < chains[-1][-1].stop:
            chains[-1].append(span)
        else:
            chains.append([span])
    return [tuple(chain) for chain in chains]


def window_groups(windows: Sequence[Window]) -> list[WindowGroup]:
    """The chains of `windows`, those of more than 128 frames divided into groups of about equal length.

    A chain is divided in the middle of frames that two windows share, and both windows are denoised in both groups:
    on either side of the boundary frames are fused from the same two predictions, so that there is no discontinuity.
    """
    return [group for chain in window_chains(windows) for group in divided(chain)]


def divided(chain: Sequence[Window]) -> list[WindowGroup]:
    """One chain as groups."""
    start, stop = chain[0].start, chain[-1].stop
    count = min(-(-(stop - start) // GROUP_FRAMES), len(chain))
    middles = [(after.start + before.stop) // 2 for before, after in zip(chain, chain[1:], strict=False)]
    even = [start + (stop - start) * index // count for index in range(1, count)]
    borders = {min(middles, key=lambda middle: abs(middle - edge)) for edge in even}
    edges = [start, *sorted(borders), stop]
    return [
        WindowGroup(first, last, tuple(span for span in chain if span.start < last and span.stop > first))
        for first, last in zip(edges, edges[1:], strict=False)
    ]


def fusion_weights(chain: Sequence[Window]) -> list[torch.Tensor]:
    """The weight of each window of a chain in the fusion of its frames: (f,) float32 each, summing to 1 at every frame.

    A window's weight falls linearly over the frames it shares with a neighbour (MultiDiffusion, arXiv 2302.08113, on
    the frame axis), so that there is no discontinuity where a window ends.
    """
    raw = []
    for index, span in enumerate(chain):
        before = chain[index - 1].stop - span.start if index else 0
        after = span.stop - chain[index + 1].start if index + 1 < len(chain) else 0
        position = torch.arange(len(span), dtype=torch.float64)
        rising, falling = (position + 1) / (before + 1), (len(span) - position) / (after + 1)
        raw.append(torch.minimum(rising, falling).clamp(max=1))
    total = torch.zeros(chain[-1].stop - chain[0].start, dtype=torch.float64)
    parts = [slice(span.start - chain[0].start, span.stop - chain[0].start) for span in chain]
    for part, weight in zip(parts, raw, strict=True):
        total[part] += weight
    return [(weight / total[part]).float() for part, weight in zip(parts, raw, strict=True)]


def disjoint_windows(windows: Sequence[Window]) -> list[Window]:
    """The same frames, each once: every window without what the one before it covers; as they are if none overlap."""
    covered, spans = 0, []
    for span in windows:
        spans.append(Window(max(span.start, covered), span.stop))
        covered = span.stop
    return spans
