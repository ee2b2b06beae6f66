"""What generators have in common that draw in the latents of a VAE: UNet, VAE and Whisper, face latents, precisions."""

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from ..diffusion import WindowBatch
from ..digests import weights_digest
from ..media import VideoReader
from ..models.loading import Models
from .clip import Clip
from .face_latents import HideMouth, generated_faces
from .generator import Generation, Generator
from .latent_cache import LatentCache
from .moments_cache import CachedMoments, cached_moments, found_faces
from .precision import networks_by_stage, precision_of, restore_precision
from .segments import Segment


class LatentGenerator(Generator):
    """A generator with the networks of `models`. hidden: a word for what its masked faces lack, for cache keys."""

    hidden: ClassVar[str]

    def __init__(self, models: Models):
        self.models = models
        self.device, self.audio_encoder, self.sources = models.device, models.whisper, models.sources

    def working_resolution(self, asked: int | None) -> int:
        """As the checkpoint was trained; warns where something else is asked for."""
        return self.models.working_resolution(asked)

    def precisions(self) -> dict[str, str]:
        """Of VAE encoder, UNet and VAE decoder."""
        return {stage: precision_of(network) for stage, network in networks_by_stage(self.models).items()}

    def digests(self) -> dict[str, str]:
        """Of UNet, VAE and Whisper."""
        codec = self.models.codec
        return {
            "checkpoint": weights_digest(self.models.unet),
            "VAE": weights_digest(getattr(codec, "autoencoder", codec)),
            "Whisper": weights_digest(self.models.whisper),
        }

    def found_faces(self, clip: Clip) -> set[int]:
        """Those in the cache."""
        return found_faces(self.moments(clip), clip)

    def moments(self, clip: Clip) -> CachedMoments | None:
        """The clip's face moments in the run's cache, see `cached_moments`."""
        resolution = clip.settings.resolution
        return cached_moments(clip, self.models.codec, self.device, resolution=resolution, hidden=self.hidden)


class LatentGeneration(Generation):
    """Such a generator at work on one clip. hide_mouth: what is taken out of the masked faces."""

    def __init__(
        self, models: Models, clip: Clip, reader: VideoReader, moments: CachedMoments | None, hide_mouth: HideMouth
    ):
        self._models, self._clip = models, clip
        self._batch = WindowBatch(clip.settings.batch)
        self._latents = LatentCache(reader, clip, models.codec, moments, hide_mouth)
        self._networks = networks_by_stage(models)

    def faces(self, segment: Segment, generated: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The decoded faces of a segment, a few at a time."""
        return generated_faces(generated, segment.synced, self._models.codec)

    def precision(self, stage: str) -> str:
        """The precision of VAE encoder, UNet and VAE decoder, in this order of the stages."""
        return precision_of(self._networks[stage])

    def restore_precision(self, stage: str, left_in: str) -> None:
        """Bring one of the three into the precision that a finished segment left it in."""
        restore_precision(self._networks[stage], left_in)

    def memory(self) -> dict[str, Any]:
        """The most bytes of latents held at once, and how many windows went through the network at once in the end."""
        return {"latents": self._latents.peak, "windows_at_once": self._batch.at_once}
