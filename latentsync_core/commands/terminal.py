"""What the command line shows while it works: one bar per stage with the time left, warnings between them."""

import logging
import sys
import time
from typing import TextIO

from tqdm import tqdm

STAGES = {
    "voice": ("Hearing the voice", "block"),
    "faces": ("Tracking the face", "frame"),
    "encode": ("Encoding faces", "face"),
    "sample": ("Denoising", "step"),
    "write": ("Pasting and writing", "frame"),
    "train": ("Training", "step"),
}
QUIET_SECONDS = 10.0  # between lines where the output is no terminal


class StageBars:
    """Progress for people: a bar with the time left on a terminal, a line now and then in a log file."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.bar: tqdm | None = None
        self.title = ""
        self.started = self.told = 0.0

    def on_stage(self, name: str) -> None:
        """Begin the bar of another stage."""
        self.close()
        self.title, unit = STAGES[name]
        self.started = self.told = time.monotonic()
        if self.live:
            self.bar = tqdm(desc=f"{self.title:<20}", unit=f" {unit}", file=self.stream, dynamic_ncols=True)
        else:
            self.stream.write(f"{self.title} ...\n")

    def on_progress(self, done: int, total: int) -> None:
        """Move the bar of the current stage."""
        if self.bar is not None:
            self.bar.total = total
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.told > QUIET_SECONDS and done < total:
            self.told = time.monotonic()
            left = (self.told - self.started) / done * (total - done)
            self.stream.write(f"{self.title}: {done} of {total}, {left:.0f} s left\n")

    def close(self) -> None:
        """Leave the current bar as it stands."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class WarningLines(logging.Handler):
    """Shows the library's log as plain lines that do not tear the bars; nothing is said twice."""

    def __init__(self):
        super().__init__()
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.levelname.lower()}: {record.getMessage()}"
        if line not in self.said:
            self.said.add(line)
            tqdm.write(line, file=sys.stderr)


def show_log(verbose: bool) -> None:
    """Let the library's warnings, or everything it has to say, appear on stderr."""
    library = logging.getLogger(__package__.rpartition(".")[0])
    library.handlers = [WarningLines()]
    library.setLevel(logging.INFO if verbose else logging.WARNING)
    library.propagate = False
