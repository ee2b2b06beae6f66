"""Shot boundaries, from small views of consecutive frames."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from ..pictures import Picture, samples_of

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
ABRUPT, ABRUPT_LAYOUT = 8.0, 10.0  # times the largest of at least two before it (and CALM): no camera starts like that
CALM = 0.8  # layout change of a nearly still picture
LIGHT = 0.95  # correlation of the layouts from which a change to brighter or darker all over is a change of light
FLASH_FRAMES = 4  # after so many at most a flash, or a black frame, is over and the picture is back
JUMP_CUT_LAYOUT = 2.5  # layout change above which a face that moves discontinuously shows a jump cut


@dataclass(frozen=True)
class Change:
    """How much a frame differs from the one before: colours 0..1, layout 0..255.

    sudden: the layout changed far more than in the frames before, unlike in a camera movement; abrupt: more still.
    light: everything became brighter, or everything darker; alike: and the picture is otherwise unchanged.
    returned: not 0 if the picture is back after a flash that began so many frames ago and that looked like a cut;
    may_be_flash: such a one may begin here.
    """

    colours: float = 0.0
    layout: float = 0.0
    sudden: bool = False
    abrupt: bool = False
    light: bool = False
    alike: bool = False
    returned: int = 0
    may_be_flash: bool = False

    @property
    def is_cut(self) -> bool:
        """Another picture: other colours, faster than a fade, or other places where no camera movement explains it."""
        if self.returned or self.alike:
            return False
        if self.abrupt:
            return True
        if self.layout > CUT_LAYOUT:
            return self.sudden or self.colours > SUSPECT_COLOURS
        return self.layout > FADE_LAYOUT and self.colours > CUT_COLOURS

    @property
    def is_suspicious(self) -> bool:
        """A cut if the face is elsewhere as well: two shots of one room, say."""
        return self.colours > SUSPECT_COLOURS or self.layout > SUSPECT_LAYOUT

    @property
    def may_be_jump_cut(self) -> bool:
        """A cut if the face moves discontinuously as well."""
        return self.sudden and (self.is_suspicious or self.layout > JUMP_CUT_LAYOUT) and not self.returned


class ShotChanges:
    """Compares each frame of a stream with the one before it."""

    def __init__(self):
        self.previous: tuple[np.ndarray, np.ndarray] | None = None
        self.layout_changes: deque[float] = deque([0.0], maxlen=SUDDEN_FRAMES)
        self.compared = 0
        self.before_light: tuple[np.ndarray, np.ndarray] | None = None  # the view before a change of light
        self.since_light = 0  # frames

    def compare(self, frame: Picture) -> Change:
        """The change from the previous frame to this one, (H, W, 3) uint8; none for the first frame."""
        height, width = frame.shape[:2]
        view = samples_of(frame, max(1, height // VIEW_ROWS), max(1, width // (2 * VIEW_ROWS)))
        previous, self.previous = self.previous, (colour_histogram(view), brightness_layout(view))
        if previous is None:
            return Change()
        colours, layout = difference(self.previous, previous)
        recent = max(self.layout_changes)
        abrupt = self.compared >= 2 and layout > max(ABRUPT_LAYOUT, ABRUPT * max(recent, CALM))
        light, alike = change_of_light(previous[1], self.previous[1])
        change = Change(colours, layout, layout > SUDDEN * recent, abrupt, light, alike, self._back())
        if change.is_cut and change.light and self.before_light is None:
            self.before_light, self.since_light = previous, 0
            change = replace(change, may_be_flash=True)
        self.layout_changes.append(layout)
        self.compared += 1
        return change

    def _back(self) -> int:
        """How many frames ago the flash began that is over now; 0 without one."""
        if self.before_light is None:
            return 0
        self.since_light += 1
        colours, layout = difference(self.previous, self.before_light)
        back = colours < SUSPECT_COLOURS and layout < SUSPECT_LAYOUT
        if back or self.since_light >= FLASH_FRAMES:
            self.before_light = None
        return self.since_light if back else 0


def difference(view: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Of two views: the share of pixels whose colour differs, and the mean difference of the layouts."""
    colours, layout = (np.abs(new - old) for new, old in zip(view, other, strict=True))
    return float(colours.sum() / 2), float(layout.mean())


def change_of_light(before: np.ndarray, after: np.ndarray) -> tuple[bool, bool]:
    """Whether a layout became brighter or darker all over, and whether it is otherwise the same."""
    change = after - before
    light = bool((change > -CALM).all() or (change < CALM).all()) and bool(np.abs(change).max() > CALM)
    spread = before.std() * after.std()
    correlation = ((before - before.mean()) * (after - after.mean())).mean() / spread if spread > CALM else 0.0
    return light, bool(light and correlation > LIGHT)


def colour_histogram(view: np.ndarray) -> np.ndarray:
    """(8, 8, 8) shares of the pixels in each colour bin, blurred by a bin, so that a fade shifts few of them."""
    bins = (view // (256 // LEVELS)).astype(np.int64) @ (LEVELS * LEVELS, LEVELS, 1)
    shares = np.bincount(bins.ravel(), minlength=LEVELS**3).reshape(LEVELS, LEVELS, LEVELS) / bins.size
    return gaussian_filter(shares, 1.0, mode="nearest")


def brightness_layout(view: np.ndarray) -> np.ndarray:
    """(9, 9) mean brightness 0..255 of the cells of a grid over the picture (fewer cells in a tiny one)."""
    red, green, blue = (view[..., channel].astype(np.uint16) for channel in range(3))
    brightness = (red + green + blue) / 3  # view.mean(-1), which takes ten times as long
    for axis in (0, 1):
        length = brightness.shape[axis]
        starts = np.unique(np.arange(LAYOUT_CELLS) * length // LAYOUT_CELLS)
        sizes = np.diff(np.append(starts, length))
        shape = [-1, 1] if axis == 0 else [1, -1]
        brightness = np.add.reduceat(brightness, starts, axis) / sizes.reshape(shape)
    return brightness
