"""Whole clips from fresh processes, as a user starts them: this checkout's `sync`, and another's in turn."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LatentSyncError
from ..media import VideoReader

THIS_CHECKOUT = Path(__file__).parents[2]
UNSCORED = "--no-score"  # reports of older checkouts hold no scores and know no such option
LEVELS = 255  # grey levels


@dataclass(frozen=True)
class Variant:
    """A checkout of this project, and the options that its `sync` is given besides the files.

    Raises LatentSyncError for a folder that holds none.
    """

    name: str
    checkout: Path = THIS_CHECKOUT
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.checkout / "latentsync_core" / "__main__.py").is_file():
            raise LatentSyncError(
                f"{self.checkout} holds no latentsync_core; give the folder of another checkout of this project."
            )

    def call(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run a command of the checkout in a process of its own. Raises LatentSyncError with the last it said."""
        command = [sys.executable, "-m", "latentsync_core", *arguments]
        process = subprocess.run(command, cwd=self.checkout, capture_output=True, encoding="utf-8", errors="replace")
        if process.returncode != 0:
            said = process.stderr.strip().splitlines() or ["no message"]
            raise LatentSyncError(f"{self.checkout}: `{arguments[0]}` ended with code {process.returncode}: {said[-1]}")
        return process


@dataclass(frozen=True)
class WholeRun:
    """One run: seconds from the start of the process to its end and by stage, frames written, bytes at the peak."""

    seconds: float
    stages: dict[str, float]
    frames: int
    ram: int | None
    vram: int | None

    @property
    def fps(self) -> float:
        """Frames per second of the whole run."""
        return self.frames / self.seconds

    @property
    def rest(self) -> float:
        """Seconds outside all stages: starting Python, loading networks, the estimate."""
        return self.seconds - sum(self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "fps": self.fps, "rest": self.rest}


def whole_runs(
    variants: Sequence[Variant], video: Path, audio: Path, folder: Path, runs: int
) -> Iterator[tuple[Variant, WholeRun]]:
    """Every variant `runs` times in turn, each first in every other round; results in `folder`, named by variant.

    Raises LatentSyncError where a run fails.
    """
    quiet: dict[str, tuple[str, ...]] = {}
    for variant in variants:
        quiet[variant.name] = (UNSCORED,) if UNSCORED in variant.call("sync", "--help").stdout else ()
    for number in range(runs):
        for variant in variants if number % 2 == 0 else reversed(variants):
            yield variant, run_once(variant, video, audio, result_of(folder, variant), quiet[variant.name])


def result_of(folder: Path, variant: Variant) -> Path:
    """The file that holds a variant's last result."""
    return folder / f"{variant.name}.mp4"


def run_once(variant: Variant, video: Path, audio: Path, output: Path, more: Sequence[str]) -> WholeRun:
    """Lip-sync the clip once and read its report."""
    report_file = output.with_suffix(".json")
    files = ("--video", video.resolve(), "--audio", audio.resolve(), "--out", output, "--report", report_file)
    started = time.perf_counter()
    variant.call("sync", *map(str, files), "--overwrite", *more, *variant.options)
    seconds = time.perf_counter() - started
    report = json.loads(report_file.read_text(encoding="utf-8"))
    actual = report["forecast"].get("actual", {})
    return WholeRun(
        seconds=seconds,
        stages=report["stages"],
        frames=report["output_frames"]["written"],
        ram=actual.get("ram"),
        vram=actual.get("vram"),
    )


def signal_to_noise(one: Path, other: Path) -> float:
    """PSNR in dB between all pictures of two files, as RGB; infinite where they are equal.

    Raises LatentSyncError where they have other sizes or numbers of frames.
    """
    squares, count = 0.0, 0
    with VideoReader(one) as first, VideoReader(other) as second:
        if (first.info.width, first.info.height) != (second.info.width, second.info.height):
            raise LatentSyncError(f"{one} and {other} differ in size; only results of the same size can be compared.")
        for one_frame, other_frame in zip(first.frames(), second.frames(), strict=True):
            difference = one_frame.rgb().astype(np.int32) - other_frame.rgb()
            squares += float(np.square(difference).sum())
            count += difference.size
    return 10 * math.log10(LEVELS**2 * count / squares) if squares else math.inf
