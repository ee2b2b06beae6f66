"""What a node shows while it works: the host's progress bar, a line of text with the time left, pictures.

A node that unfolds into stages has one bar, and each stage its share of it: it fills once, from left to right.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import comfy.utils
from comfy_execution.progress import get_progress_state
from PIL import Image

from ...latentsync_core.progress import Callbacks
from .memory import check_cancelled
from .messages import show_in_node
from .unfolded import unfolded_from

STAGES = {
    "voice": "Encoding the voice",
    "faces": "Tracking the face",
    "encode": "Encoding faces",
    "sample": "Denoising",
    "write": "Pasting and writing",
    "score": "Scoring",
}
SHARES = {"faces": (0, 15), "encode": (15, 25), "voice": (25, 30), "sample": (30, 85), "write": (85, 100)}
WHOLE = 100  # of which SHARES are: in the order in which the stages come, about as long as each takes
TEXT_SECONDS = 0.5  # between two lines of text
PREVIEW_FORMAT = "JPEG"
MINUTE = 60

Wording = Callable[[int, int], str]
"""(done, total) of a stage in words, without the time left."""


def node_callbacks() -> Callbacks:
    """For the library: what is shown of each stage, which starts afresh with it, and the host's Cancel button."""
    stages: dict[str, StageProgress] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage not in stages:
            stages[stage] = StageProgress.begin(stage)
        stages[stage].show(done, total)

    return Callbacks(on_progress=on_progress, check_cancelled=check_cancelled)


@dataclass
class StageProgress:
    """One stage of a node at work.

    words: for what has been done. bar: the host's. share: of the bar of the node that unfolded into this one, None
    where none did. begun, first: when it began, and with how much done already. told: when a line of text was last
    sent. done, total: as last shown.
    """

    words: Wording
    bar: comfy.utils.ProgressBar
    share: "SharedBar | None" = None
    begun: float = field(default_factory=time.monotonic)
    first: int | None = None
    told: float = 0.0
    done: int = 0
    total: int = 1

    @classmethod
    def begin(cls, stage: str, words: Wording | None = None) -> "StageProgress":
        """A stage, see STAGES, of the node that is running. words: in place of its title and the numbers."""
        title = STAGES.get(stage, stage.capitalize())
        wording = words or (lambda done, total: f"{title}: {done} of {total}")
        return cls(wording, comfy.utils.ProgressBar(1), SharedBar.of(stage))

    def show(self, done: int, total: int) -> None:
        """So much of it is done."""
        self.first = done if self.first is None else self.first
        self.done, self.total = done, max(total, 1)  # the host divides by it
        self._fill_bar()
        now = time.monotonic()
        if now - self.told >= TEXT_SECONDS and done < self.total:
            self.told = now
            show_in_node(f"{self.words(self.done, self.total)}{self._left(now)}")

    def picture(self, image: Image.Image, side: int) -> None:
        """Show a picture, at most `side` pixels wide or high."""
        self._fill_bar((PREVIEW_FORMAT, image, side))

    def _fill_bar(self, preview: tuple[str, Image.Image, int] | None = None) -> None:
        if self.share is None:
            self.bar.update_absolute(self.done, self.total, preview)
        else:
            self.bar.update_absolute(self.share.reach(self.done / self.total), WHOLE, preview)

    def _left(self, now: float) -> str:
        finished = self.done - (self.first or 0)
        if finished <= 0:
            return ""
        seconds = round((now - self.begun) / finished * (self.total - self.done))
        return f", {seconds // MINUTE}:{seconds % MINUTE:02} left"


@dataclass(frozen=True)
class SharedBar:
    """A stage's part, from `start` to `stop` of WHOLE, of the bar of the node `node` that unfolded into it."""

    node: str
    start: int
    stop: int

    @classmethod
    def of(cls, stage: str) -> "SharedBar | None":
        """For a stage of the node that is running; None where nothing unfolded into it."""
        node = unfolded_from() if stage in SHARES else None
        return None if node is None else cls(node, *SHARES[stage])

    def reach(self, done: float) -> float:
        """How full the bar is when so much, 0 to 1, of the stage is done; it never goes back.

        How far it came is kept where the host keeps it, with the node that unfolded: it counts as running until its
        last stage is done, and the page shows the lesser of its state and its running stage's.
        """
        state = get_progress_state()
        reached = state.ensure_entry(self.node)
        value = max(reached["value"] / max(reached["max"], 1) * WHOLE, self.start + done * (self.stop - self.start))
        state.update_progress(self.node, value, WHOLE)
        return value
