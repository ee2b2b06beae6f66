"""Memory of one run: the process's peak, and the part of it that grows with the clip by design."""

from dataclasses import dataclass
from pathlib import Path

from ..diffusion import Guidance
from ..media import EncodeSettings
from ..models.loading import load_models
from ..pipeline.lipsync import lipsync
from ..pipeline.peak_memory import peak_memory
from ..pipeline.settings import Settings


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak of a run (`peak`) and before it, with the models loaded (`loaded`); `frames` written;
    `latents`: the most that were held at once; `track`: what is kept of every frame."""

    peak: int
    loaded: int
    frames: int
    latents: int
    track: int

    @property
    def rest(self) -> int:
        """The peak without latents and track."""
        return self.peak - self.latents - self.track


def run_footprint(video: Path, voice: Path, output: Path) -> Footprint:
    """Lip-sync in this process with the embedded model, one step and no guidance."""
    models = load_models("embedded", device="cpu")
    loaded = peak_memory()
    settings = Settings(steps=1, guidance=Guidance(1.0), encode=EncodeSettings(preset="ultrafast"))
    report = lipsync(video, voice, output, models, settings)
    return Footprint(
        peak=peak_memory(),
        loaded=loaded,
        frames=report.output_frames["written"],
        latents=report.memory["latents"],
        track=report.memory["track"],
    )
