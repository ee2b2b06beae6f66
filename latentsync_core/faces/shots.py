"""Where one shot ends and the next begins, from small views of consecutive frames."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

VIEW_ROWS = 72  # a frame is sampled down to about so many rows and twice as many columns
LEVELS = 8  # histogram bins per colour channel
LAYOUT_CELLS = 9  # the layout is a grid of 9 x 9 mean brightnesses
# Measured: talking heads stay below colours 0.01 and layout 3, pans below 0.03 and 25 (80 pixels a frame: 17), fades of
# half a second below 0.36 and 10; cuts between unlike shots reach 0.55 and 69, a punch-in by 1.3 reaches 0.04 and 17.
CUT_COLOURS = 0.3  # share of pixels whose colour changed
SUSPECT_COLOURS = 0.05
CUT_LAYOUT = 20.0  # mean change of brightness over the grid, of 255
FADE_LAYOUT = 12.0
SUSPECT_LAYOUT = 6.0
SUDDEN = 3.0  # a sudden change is so many times the largest of the few before it
SUDDEN_FRAMES = 3  # more than one, since a repeated frame changes nothing


@dataclass(frozen=True)
class Change:
    """How much a frame differs from the one before: colours 0..1, layout 0..255.

    sudden: the layout changed far more than in the frames before, unlike in a camera movement.
    """

    colours: float = 0.0
    layout: float = 0.0
    sudden: bool = False

    @property
    def is_cut(self) -> bool:
        """Another picture: other colours, faster than a fade, or other places where no camera movement explains it."""
        if self.layout > CUT_LAYOUT:
            return self.sudden or self.colours > SUSPECT_COLOURS
        return self.layout > FADE_LAYOUT and self.colours > CUT_COLOURS

    @property
    def is_suspicious(self) -> bool:
        """A cut if the face leaps as well: two shots of one room, say."""
        return self.colours > SUSPECT_COLOURS or self.layout > SUSPECT_LAYOUT


class ShotChanges:
    """Compares each frame of a stream with the one before it."""

    def __init__(self):
        self.previous: tuple[np.ndarray, np.ndarray] | None = None
        self.layout_changes: deque[float] = deque([0.0], maxlen=SUDDEN_FRAMES)

    def compare(self, frame: np.ndarray) -> Change:
        """The change from the previous frame to this one, (H, W, 3) uint8; none for the first frame."""
        view = frame[:: max(1, frame.shape[0] // VIEW_ROWS), :: max(1, frame.shape[1] // (2 * VIEW_ROWS))]
        previous, self.previous = self.previous, (colour_histogram(view), brightness_layout(view))
        if previous is None:
            return Change()
        colours, layout = (np.abs(new - old) for new, old in zip(self.previous, previous, strict=True))
        change = float(layout.mean())
        sudden = change > SUDDEN * max(self.layout_changes)
        self.layout_changes.append(change)
        return Change(float(colours.sum() / 2), change, sudden)


def colour_histogram(view: np.ndarray) -> np.ndarray:
    """(8, 8, 8) shares of the pixels in each colour bin, blurred by a bin, so that a fade shifts few of them."""
    bins = (view // (256 // LEVELS)).astype(np.int64) @ (LEVELS * LEVELS, LEVELS, 1)
    shares = np.bincount(bins.ravel(), minlength=LEVELS**3).reshape(LEVELS, LEVELS, LEVELS) / bins.size
    return gaussian_filter(shares, 1.0, mode="nearest")


def brightness_layout(view: np.ndarray) -> np.ndarray:
    """(9, 9) mean brightness 0..255 of the cells of a grid over the picture (fewer cells in a tiny one)."""
    brightness = view.mean(-1)
    for axis in (0, 1):
        length = brightness.shape[axis]
        starts = np.unique(np.arange(LAYOUT_CELLS) * length // LAYOUT_CELLS)
        sizes = np.diff(np.append(starts, length))
        shape = [-1, 1] if axis == 0 else [1, -1]
        brightness = np.add.reduceat(brightness, starts, axis) / sizes.reshape(shape)
    return brightness
