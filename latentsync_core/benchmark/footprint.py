"""What one run keeps in memory: the process's peak, and the part of it that grows with the clip by design."""

import sys
from dataclasses import dataclass
from pathlib import Path

from ..diffusion import Guidance
from ..faces import LATENT_STRIDE
from ..faces.facemesh import MESH_POINTS
from ..loading import load_models
from ..media import EncodeSettings
from ..pipeline import lipsync
from ..settings import Settings

LATENT_CHANNELS = 12  # masked face, reference face, result: 4 each
FLOAT_BYTES = 4
TRACK_NUMBERS = MESH_POINTS * 3 + 3 * 2 + 4 + 1  # per frame: mesh, alignment points, box, score


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak of a run (`peak`) and before it, with the models loaded (`loaded`); `frames` written;
    `latents` and `track`: what the run keeps of every frame."""

    peak: int
    loaded: int
    frames: int
    latents: int
    track: int


def run_footprint(video: Path, voice: Path, output: Path) -> Footprint:
    """Lip-sync in this process with the embedded model, one step and no guidance."""
    models = load_models("embedded", device="cpu")
    loaded = peak_memory()
    settings = Settings(steps=1, guidance=Guidance(1.0), encode=EncodeSettings(preset="ultrafast"))
    report = lipsync(video, voice, output, models, settings)
    frames, side = report.output_frames["written"], report.settings["resolution"] // LATENT_STRIDE
    latents = frames * LATENT_CHANNELS * side * side * FLOAT_BYTES
    return Footprint(peak_memory(), loaded, frames, latents, frames * TRACK_NUMBERS * FLOAT_BYTES)


def peak_memory() -> int:
    """The most bytes of memory this process has held at once (resident set)."""
    if sys.platform == "linux":
        # getrusage would report the parent's peak where that is higher: Linux carries it over to a new program.
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # macOS counts bytes, other systems KiB

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
