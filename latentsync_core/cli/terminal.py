"""What the command line shows while it works: one bar per stage with the time left, warnings between them."""

import logging
import sys
import time
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm

STAGES = {
    "voice": ("Hearing the voice", "block"),
    "faces": ("Tracking the face", "frame"),
    "encode": ("Encoding faces", "face"),
    "sample": ("Denoising", "step"),
    "write": ("Pasting and writing", "frame"),
    "clips": ("Lip-syncing clips", "clip"),
    "plan": ("Measuring clips", "clip"),
    "measure": ("Measuring the mouth", "frame"),
    "score": ("Asking SyncNet", "frame"),
    "train": ("Training", "step"),
    "exams": ("Dubbing drawn clips", "clip"),
}
QUIET_SECONDS = 10.0  # between lines where the output is no terminal


@dataclass
class StageClock:
    """How far a stage is, and its share of the time so far, as stages take turns or overlap.

    first: what was done at its first report, maybe by an earlier run; the pace is measured from there.
    """

    title: str
    unit: str
    first: float
    done: float = 0
    total: int = 0
    seconds: float = 0.0
    bar: tqdm | None = None

    @property
    def left(self) -> float:
        """Seconds of work left at the pace so far; 0 while there is none to go by."""
        paced = self.done - self.first
        return self.seconds / paced * (self.total - self.done) if paced > 0 else 0.0


class StageBars:
    """Progress for people: a bar per stage on a terminal, a line now and then in a log file; with the time left.

    The time left is that of all stages under way. Time between two reports counts for the stage of the second, so that
    the shares of stages that work at the same time add up.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.clocks: dict[str, StageClock] = {}
        self.ticked = self.told = time.monotonic()

    def on_progress(self, stage: str, done: float, total: int) -> None:
        """Begin a stage, go on with it, or move on in it."""
        now = time.monotonic()
        clock = self.clocks.get(stage) or self._begin(stage, done, now)
        if done > clock.done:  # else it only begins a segment, and other stages were at work meanwhile
            clock.seconds += now - self.ticked
        self.ticked = now
        clock.done, clock.total = done, total
        left = sum(other.left for other in self.clocks.values())
        if clock.bar is not None:
            clock.bar.total = max(total, 1)
            clock.bar.set_postfix_str(f"{duration(left)} left" if left else "", refresh=False)
            clock.bar.update(done - clock.bar.n)
        elif now - self.told > QUIET_SECONDS and done < total:
            self.told = now
            self.stream.write(f"{clock.title}: {done} of {total}{f', {duration(left)} left' if left else ''}\n")

    def _begin(self, stage: str, done: float, now: float) -> StageClock:
        title, unit = STAGES[stage]
        clock = self.clocks[stage] = StageClock(title, unit, first=done, done=done)
        if self.live:
            clock.bar = tqdm(
                desc=f"{title:<20}",
                unit=f"{unit}s",
                total=1,
                file=self.stream,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit} {postfix}",
                dynamic_ncols=True,
            )
        else:
            self.told = now
            self.stream.write(f"{title} ...\n")
        return clock

    def on_estimate(self, estimate) -> None:
        """Say what is to come; once tracking is done, what is left of it."""
        work, ahead = estimate.work, "at most" if estimate.work.read else "another"
        ram = "unknown" if estimate.ram is None else gibibytes(estimate.ram)
        vram = "no" if estimate.vram is None else gibibytes(estimate.vram)
        windows = f"{work.windows} window{'s' if work.windows > 1 else ''}"
        line = (
            f"Forecast: {work.frames} frames in {windows}, {ahead} {duration(estimate.seconds)}, {ram} RAM, {vram} VRAM"
        )
        self.write_line(line)

    def write_line(self, line: str) -> None:
        """A line between the bars."""
        tqdm.write(line, file=self.stream)

    def close(self) -> None:
        """Leave the bars as they stand."""
        for clock in self.clocks.values():
            if clock.bar is not None:
                clock.bar.close()
                clock.bar = None


def gibibytes(count: int) -> str:
    """ "0.9 GiB"."""
    return f"{count / 2**30:.1f} GiB"


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3 h 20 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


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
