"""Sample grids: held-out clips lip-synced during training by the sampler of inference.

The face of a clip's first half gets the voice of its second half, so that the source frames do not show the expected
mouth; the frames filmed with that voice are shown for comparison.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion import NoisePredictor
from ..diffusion.conditioning import TrainedConditioning
from ..faces import composite_crop, latent_mask
from ..faces.landmarks import MeshFitter
from ..faces.mouth_opening import correlation
from ..models.vae import LatentCodec
from .batches import sample_posterior
from .dataset import POSTERIORS, Clip
from .generator_inputs import GeneratorInputs
from .mouth import lip_gaps
from .objectives import Objective

WINDOWS_SAMPLED = 3  # windows sampled of every clip
COLUMNS = 8
GAP = 2  # pixels between pictures


@dataclass(frozen=True)
class SampleGrid:
    """source, truth, generated: (f, r, r, 3) uint8: the source face, the face filmed with the voice, the result.

    gaps, true_gaps: (f,) as `mouth.lip_gaps` measures them in `generated` and in `truth`.
    """

    name: str
    source: np.ndarray
    truth: np.ndarray
    generated: np.ndarray
    gaps: np.ndarray
    true_gaps: np.ndarray

    @property
    def correlation(self) -> float:
        """Correlation of the generated lip gaps with the true ones: -1 to 1."""
        return correlation(self.gaps, self.true_gaps)

    def image(self) -> np.ndarray:
        """Three rows of evenly spread frames: source, result, truth. uint8 (h, w, 3)."""
        picks = np.linspace(0, len(self.source) - 1, COLUMNS).round().astype(int)
        rows = []
        for crops in (self.source, self.generated, self.truth):
            framed = np.pad(crops[picks], ((0, 0), (GAP, 0), (GAP, 0), (0, 0)), constant_values=255)
            rows.append(np.concatenate(list(framed), axis=1))
        return np.concatenate(rows, axis=0)


class GridSampler:
    """Samples a grid of one clip, always from the same noise, as inference would.

    The face is taken from the start of the clip's longest interval, the voice from its second half.

    Args:
        clip: a prepared clip.
        window: frames drawn together in training.
        inputs: of the generator in training.
        resolution: of the face crop in pixels.
        codec: decodes the latents.
        seed: of the noise.
    """

    def __init__(
        self, clip: Clip, window: int, inputs: GeneratorInputs, resolution: int, codec: LatentCodec, seed: int
    ):
        self.clip, self.codec, self.seed, self.inputs = clip, codec, seed, inputs
        self.mask = inputs.mask(resolution)
        first, stop = max(clip.intervals, key=lambda interval: interval[1] - interval[0])
        half = (stop - first) // 2
        count = min(half // window, WINDOWS_SAMPLED)
        self.face, self.voice = slice(first, first + count * window), slice(first + half, first + half + count * window)
        self.mesh = MeshFitter() if count else None

    @property
    def possible(self) -> bool:
        """Whether the clip is long enough."""
        return self.mesh is not None

    def draw(self, unet: NoisePredictor, trained: TrainedConditioning, objective: Objective) -> SampleGrid:
        """Sample the grid with the current weights of `unet`, conditioned as `trained`, by the objective's sampler."""
        generator = torch.Generator().manual_seed(self.seed)
        rows = self.clip.rows(self.face.start, self.face.stop, *POSTERIORS, "crops")
        audio = self.clip.read("features", "indices")
        tokens = trained.audio_tokens(audio["features"], audio["indices"][self.voice])
        masked = sample_posterior(rows["masked_mean"], rows["masked_std"], generator)
        reference = sample_posterior(rows["mean"], rows["std"], generator)
        condition = self.inputs.condition(masked, reference, latent_mask(self.mask))
        latents = objective.sample(unet, condition, tokens[:], generator)
        truth = self.clip.rows(self.voice.start, self.voice.stop, "crops")["crops"].numpy()
        generated = self._pictures(latents, rows["crops"])
        return SampleGrid(
            name=self.clip.name,
            source=rows["crops"].numpy(),
            truth=truth,
            generated=generated,
            gaps=lip_gaps(generated, self.mesh),
            true_gaps=lip_gaps(truth, self.mesh),
        )

    def _pictures(self, latents: Tensor, crops: Tensor) -> np.ndarray:
        """Decoded and composited with the kept part of the crop: (f, r, r, 3) uint8."""
        decoded = self.codec.decode(latents[0].transpose(0, 1))
        original = crops.permute(0, 3, 1, 2).float() / 127.5 - 1
        composited = composite_crop(decoded, original, self.mask)
        return ((composited + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
