"""What a node shows while it works: the host's progress bar, a line of text with the time left, pictures."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import comfy.utils
from comfy_execution.utils import get_executing_context
from PIL import Image
from server import PromptServer

from ...latentsync_core.progress import Callbacks
from .memory import check_cancelled

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


def node_callbacks(node_id: str | None = None) -> Callbacks:
    """For the library: what is shown of each stage, which starts afresh with it, and the host's Cancel button."""
    stages: dict[str, StageProgress] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage not in stages:
            stages[stage] = StageProgress.begin(STAGES.get(stage, stage.capitalize()), node_id)
        stages[stage].show(done, total)

    return Callbacks(on_progress=on_progress, check_cancelled=check_cancelled)


@dataclass
class StageProgress:
    """One stage of a node at work.

    words: for what has been done. node_id: of the node. bar: the host's. begun, first: when it began, and with how much
    done already. told: when a line of text was last sent. done, total: as last shown.
    """

    words: Wording
    node_id: str | None
    bar: comfy.utils.ProgressBar
    begun: float = field(default_factory=time.monotonic)
    first: int | None = None
    told: float = 0.0
    done: int = 0
    total: int = 1

    @classmethod
    def begin(cls, words: str | Wording, node_id: str | None = None) -> "StageProgress":
        """Of the node that is executing, where none is given. words: a title, or how to put it."""
        context = get_executing_context()
        node = node_id or (context.node_id if context else None)
        wording = words if callable(words) else lambda done, total: f"{words}: {done} of {total}"
        return cls(wording, node, comfy.utils.ProgressBar(1, node_id=node_id))

    def show(self, done: int, total: int) -> None:
        """So much of it is done."""
        self.first = done if self.first is None else self.first
        self.done, self.total = done, max(total, 1)  # the host divides by it
        self.bar.update_absolute(self.done, self.total)
        now = time.monotonic()
        if now - self.told >= TEXT_SECONDS and done < self.total:
            self.told = now
            self._tell(f"{self.words(self.done, self.total)}{self._left(now)}")

    def picture(self, image: Image.Image, side: int) -> None:
        """Show a picture, at most `side` pixels wide or high."""
        self.bar.update_absolute(self.done, self.total, (PREVIEW_FORMAT, image, side))

    def _left(self, now: float) -> str:
        finished = self.done - (self.first or 0)
        if finished <= 0:
            return ""
        seconds = round((now - self.begun) / finished * (self.total - self.done))
        return f", {seconds // MINUTE}:{seconds % MINUTE:02} left"

    def _tell(self, text: str) -> None:
        server = getattr(PromptServer, "instance", None)  # none where nodes run without a server
        if server is not None and self.node_id is not None:
            server.send_progress_text(text, self.node_id)
