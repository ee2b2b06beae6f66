"""Log scalars and images of a run: one JSON line per entry, and TensorBoard event files if it is installed."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

LOG_NAME = "log.jsonl"
log = logging.getLogger(__name__)


class RunLog:
    """Writes below the run's folder: log.jsonl, tensorboard/ and samples/."""

    def __init__(self, folder: Path, step: int = 0):
        self.folder, self.started = folder, time.monotonic()
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        self.path = folder / LOG_NAME
        self._drop_after(step)
        self.lines = self.path.open("a", encoding="utf-8")
        self.events = event_writer(folder / "tensorboard", step)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Record scalars of a step."""
        seconds = round(time.monotonic() - self.started, 2)
        self.lines.write(json.dumps({"step": step, "seconds": seconds, **values}) + "\n")
        self.lines.flush()
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record a uint8 picture (h, w, 3) as samples/NAME-STEP.png."""
        Image.fromarray(image).save(self.folder / "samples" / f"{name}-{step:07d}.png")
        if self.events is not None:
            self.events.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the files."""
        self.lines.close()
        if self.events is not None:
            self.events.close()

    def _drop_after(self, step: int) -> None:
        """Drop lines of steps that a resumed run will repeat."""
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            self.path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def event_writer(folder: Path, step: int):
    """TensorBoard's writer, or None, with one warning, where it is not installed; log.jsonl has the same numbers."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("The tensorboard package is missing: numbers go to log.jsonl only; pip install tensorboard.")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
