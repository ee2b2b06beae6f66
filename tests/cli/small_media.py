"""Short voices, faceless clips and what a folder holds: what the command-line tests are made of."""

import os
import signal
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.demo import VOICE

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "latentsync_core")
QUICK = ("--checkpoint", "embedded", "--device", "cpu", "--steps", "1", "--guidance", "1", "--no-cache")
GENEROUS = 60  # seconds until a program under test counts as hung
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


def heed_ctrl_c() -> None:
    """For a process's preexec_fn: whoever runs the tests in the background has it, and its children, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def contents(folder: Path) -> dict[Path, int]:
    """Every file below `folder`, hidden ones too, and when it was last written."""
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir()}


def cut_voice(path: Path, seconds: float) -> Path:
    """The first `seconds` of the demo voice, repeated if need be."""
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        piece = source.readframes(source.getnframes())
        size = round(seconds * source.getframerate()) * source.getsampwidth() * source.getnchannels()
        target.writeframes((piece * (size // len(piece) + 1))[:size])
    return path


def grey_clip(path: Path, frames: int) -> Path:
    """A video without a face, and without sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=128, height=96, pix_fmt="yuv420p")
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 90 + index, np.uint8)).reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def silence(path: Path, samples: int) -> Path:
    """A recording without a voice."""
    with wave.open(str(path), "wb") as target:
        target.setparams((1, 2, 16000, 0, "NONE", ""))
        target.writeframes(bytes(2 * samples))
    return path
