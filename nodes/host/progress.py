"""What a node shows while it works: the host's progress bar, a line of text with the time left, pictures."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import comfy.utils
from PIL import Image

from ...latentsync_core.progress import Callbacks
from .memory import check_cancelled
from .messages import show_in_node

STAGES = {
    "voice": "Encoding the voice",
    "faces": "Tracking the face",
    "encode": "Encoding faces",
    "sample": "Denoising",
    "write": "Pasting and writing",
    "score": "Scoring",
}
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
            stages[stage] = StageProgress.begin(STAGES.get(stage, stage.capitalize()))
        stages[stage].show(done, total)

    return Callbacks(on_progress=on_progress, check_cancelled=check_cancelled)


@dataclass
class StageProgress:
    """One stage of a node at work.

    words: for what has been done. bar: the host's. begun, first: when it began, and with how much
    done already. told: when a line of text was last sent. done, total: as last shown.
    """

    words: Wording
    bar: comfy.utils.ProgressBar
    begun: float = field(default_factory=time.monotonic)
    first: int | None = None
    told: float = 0.0
    done: int = 0
    total: int = 1

    @classmethod
    def begin(cls, words: str | Wording) -> "StageProgress":
        """Of the node that is running. words: a title, or how to put it."""
        wording = words if callable(words) else lambda done, total: f"{words}: {done} of {total}"
        return cls(wording, comfy.utils.ProgressBar(1))

    def show(self, done: int, total: int) -> None:
        """So much of it is done."""
        self.first = done if self.first is None else self.first
        self.done, self.total = done, max(total, 1)  # the host divides by it
        self.bar.update_absolute(self.done, self.total)
        now = time.monotonic()
        if now - self.told >= TEXT_SECONDS and done < self.total:
            self.told = now
            show_in_node(f"{self.words(self.done, self.total)}{self._left(now)}")

    def picture(self, image: Image.Image, side: int) -> None:
        """Show a picture, at most `side` pixels wide or high."""
        self.bar.update_absolute(self.done, self.total, (PREVIEW_FORMAT, image, side))

    def _left(self, now: float) -> str:
        finished = self.done - (self.first or 0)
        if finished <= 0:
            return ""
        seconds = round((now - self.begun) / finished * (self.total - self.done))
        return f", {seconds // MINUTE}:{seconds % MINUTE:02} left"
