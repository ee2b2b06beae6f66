"""Sample strips: what the model makes of clips it never saw, drawn by the sampler of inference while it trains.

A face of the clip's one half is given the voice of the other half, so that nothing in the picture gives the answer
away; what the voice's own mouth did is shown beside it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion import NoisePredictor, Window, sample_clip, shared_noise, window_groups
from ..diffusion.conditioning import TrainedConditioning
from ..faces import composite_crop, fixed_mask, latent_mask
from ..faces.landmarks import MeshFitter
from ..faces.mouth_opening import correlation
from ..models.vae import LatentCodec
from ..pipeline.encode import ClipConditioning, FaceLatents
from .batches import sample_posterior
from .dataset import POSTERIORS, Clip
from .mouth import lip_gaps

WINDOWS_SHOWN = 3  # windows sampled of every clip
COLUMNS = 8
GAP = 2  # pixels between pictures


@dataclass(frozen=True)
class Strip:
    """face, voice_face, generated: (f, r, r, 3) uint8: the face given, the one that spoke the voice, the result.

    gaps, true_gaps: (f,) as `mouth.lip_gaps` measures them, generated and in the face that spoke.
    """

    name: str
    face: np.ndarray
    voice_face: np.ndarray
    generated: np.ndarray
    gaps: np.ndarray
    true_gaps: np.ndarray

    @property
    def correlation(self) -> float:
        """How closely the generated lips follow those that spoke the voice: -1 to 1."""
        return correlation(self.gaps, self.true_gaps)

    def image(self) -> np.ndarray:
        """Three rows of evenly spread frames: the face given, the result, the face that spoke. uint8 (h, w, 3)."""
        picks = np.linspace(0, len(self.face) - 1, COLUMNS).round().astype(int)
        rows = []
        for crops in (self.face, self.generated, self.voice_face):
            framed = np.pad(crops[picks], ((0, 0), (GAP, 0), (GAP, 0), (0, 0)), constant_values=255)
            rows.append(np.concatenate(list(framed), axis=1))
        return np.concatenate(rows, axis=0)


class StripSampler:
    """Draws a strip of one clip, always from the same noise.

    The face is taken from the start of the clip's longest run, the voice from its later half.
    """

    def __init__(self, clip: Clip, window: int, resolution: int, codec: LatentCodec, seed: int):
        self.clip, self.codec, self.seed, self.resolution = clip, codec, seed, resolution
        first, stop = max(clip.runs, key=lambda run: run[1] - run[0])
        half = (stop - first) // 2
        count = min(half // window, WINDOWS_SHOWN)
        self.groups = window_groups([Window(i * window, (i + 1) * window) for i in range(count)])
        self.face, self.voice = slice(first, first + count * window), slice(first + half, first + half + count * window)
        self.mesh = MeshFitter() if count else None

    @property
    def possible(self) -> bool:
        """Whether the clip is long enough."""
        return bool(self.groups)

    def draw(
        self, unet: NoisePredictor, trained: TrainedConditioning, steps: int, guidance: float, device: torch.device
    ) -> Strip:
        """Sample the strip with `unet` as it is now."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = shared_noise(self.resolution // 8, generator)
        rows = self.clip.rows(self.face.start, self.face.stop, *POSTERIORS, "crops")
        heard = self.clip.read("features", "indices")
        tokens = trained.audio_tokens(heard["features"], heard["indices"][self.voice])
        frames = len(rows["crops"])
        conditioning = ClipConditioning(self._faces(rows, generator), tokens, range(frames), trained)
        latents = sample_clip(unet, noise, conditioning, frames, self.groups, steps, guidance, device=device)
        face, spoken = (
            rows["crops"].numpy(),
            self.clip.rows(self.voice.start, self.voice.stop, "crops")["crops"].numpy(),
        )
        generated = self._pictures(latents, rows["crops"])
        gaps, true_gaps = lip_gaps(generated, self.mesh), lip_gaps(spoken, self.mesh)
        return Strip(self.clip.name, face, spoken, generated, gaps, true_gaps)

    def _faces(self, rows: dict[str, Tensor], generator: torch.Generator) -> FaceLatents:
        masked = sample_posterior(rows["masked_mean"], rows["masked_std"], generator)
        reference = sample_posterior(rows["mean"], rows["std"], generator)
        row_of = {frame: frame for frame in range(len(masked))}
        return FaceLatents(masked, reference, latent_mask(fixed_mask(self.resolution)), row_of, self.resolution)

    def _pictures(self, latents: Tensor, crops: Tensor) -> np.ndarray:
        """Decoded and joined with the kept part of the crop: (f, r, r, 3) uint8."""
        decoded = self.codec.decode(latents[0].transpose(0, 1))
        original = crops.permute(0, 3, 1, 2).float() / 127.5 - 1
        joined = composite_crop(decoded, original, fixed_mask(self.resolution))
        return ((joined + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
