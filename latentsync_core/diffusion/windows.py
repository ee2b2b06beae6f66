"""Cutting a clip into the windows that the UNet denoises, each independent of the others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..choices import MAX_WINDOW_FRAMES, WINDOW_FRAMES
from ..errors import LatentSyncError


@dataclass(frozen=True)
class Window:
    """Frames `start` to `stop` (exclusive) of the output, denoised together."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan_windows(
    present: Sequence[bool], breaks: Collection[int] = (), window: int = WINDOW_FRAMES
) -> tuple[Window, ...]:
    """Cover every frame with a face by windows of at most `window` frames; the last of a stretch may be shorter.

    present: per output frame, whether there is a face to sync. breaks: frames at which a new shot begins.
    No window crosses a break or a frame without a face: motion modules would mix what does not belong together.
    Short windows are run as they are; padding one would change its every frame (REFERENCE section 1).
    """
    check_window(window)
    windows: list[Window] = []
    start = None
    for frame in range(len(present) + 1):
        ended = frame == len(present) or not present[frame] or frame in breaks
        if start is not None and (ended or frame - start == window):
            windows.append(Window(start, frame))
            start = None
        if start is None and frame < len(present) and present[frame]:
            start = frame
    return tuple(windows)


def check_window(window: int) -> None:
    """Raise LatentSyncError unless `window` is a number of frames the UNet can take."""
    if not 1 <= window <= MAX_WINDOW_FRAMES:
        raise LatentSyncError(
            f"A window of {window} frames was asked for; 1 to {MAX_WINDOW_FRAMES} are possible, "
            f"{WINDOW_FRAMES} is what the model was trained on."
        )
