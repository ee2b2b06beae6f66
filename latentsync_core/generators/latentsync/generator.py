"""LatentSync behind the generators' protocol: face latents, windows denoised with guidance, decoded faces."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from einops import rearrange
from torch import Tensor

from ...audio import indices_at
from ...diffusion import NonFiniteLatentsError, SamplerSettings, Window, WindowBatch, sample_clip, window_groups
from ...diffusion.conditioning import TrainedConditioning
from ...digests import weights_digest
from ...faces import FaceTrack, fixed_mask
from ...media import VideoReader
from ...models.loading import Models
from ...progress import Callbacks
from ...settings import Settings
from ..aligned_faces import AlignedFaces, aligned_faces
from ..clip import Clip
from ..face_latents import generated_faces
from ..generator import Generation, Generator, timed
from ..latent_cache import LatentCache
from ..moments_cache import CachedMoments, cached_moments, found_faces
from ..precision import networks_by_stage, precision_of, restore_precision
from ..segments import Segment
from .conditioning import ClipConditioning
from .known_face import check_known, face_error
from .sampling import sample_segment, sampler_settings, window_seconds


class LatentSync(Generator):
    """LatentSync with the networks of `models`. instead: for faces that the embedded model does not know."""

    name = "latentsync"
    unused = frozenset({"bbox_shift"})

    def __init__(self, models: Models, instead: Generator | None = None):
        self.models, self.instead = models, instead
        self.device, self.audio_encoder, self.sources = models.device, models.whisper, models.sources

    def working_resolution(self, asked: int | None) -> int:
        """As the checkpoint was trained; warns where something else is asked for."""
        return self.models.working_resolution(asked)

    def check(self, settings: Settings) -> None:
        """Raise LatentSyncError for a resolution or a position encoding that cannot be."""
        super().check(settings)
        fixed_mask(settings.resolution)
        TrainedConditioning.of_models(self.models, settings.position)

    def face_crops(self, track: FaceTrack, settings: Settings) -> AlignedFaces:
        """Faces aligned by a similarity transform."""
        return aligned_faces(track, settings)

    def begin(self, clip: Clip, reader: VideoReader) -> "LatentSyncGeneration":
        """Begin with a clip."""
        return LatentSyncGeneration(self.models, clip, reader, self._moments(clip))

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

    def check_face(self, reader: VideoReader, clip: Clip) -> None:
        """Refuse a face that the embedded model, where nobody asked for it, does not know."""
        if self.models.fallback and clip.shown:
            error = face_error(reader, clip.track, clip.shown, clip.settings.cache)
            check_known(error, clip.video, "--checkpoint embedded")

    def found_faces(self, clip: Clip) -> set[int]:
        """Those in the cache."""
        return found_faces(self._moments(clip), clip)

    def _moments(self, clip: Clip) -> CachedMoments | None:
        resolution = clip.settings.resolution
        return cached_moments(clip, self.models.codec, self.device, resolution=resolution, hidden="lower face")


class LatentSyncGeneration(Generation):
    """LatentSync at work on one clip."""

    def __init__(self, models: Models, clip: Clip, reader: VideoReader, moments: CachedMoments | None):
        settings = clip.settings
        self._models, self._clip = models, clip
        self._batch = WindowBatch(settings.batch)
        self._sampler = sampler_settings(settings, models.device, self._batch)
        self._trained = TrainedConditioning.of_models(models, settings.position)
        codec = models.codec
        self._latents = LatentCache(
            reader,
            clip.segments,
            clip.source,
            clip.crops,
            codec,
            resolution=settings.resolution,
            seed=settings.seed,
            moments=moments,
        )
        self._networks = networks_by_stage(models)

    def encode(self, segment: Segment, callbacks: Callbacks) -> ClipConditioning:
        """What the windows of a segment are denoised from."""
        clip, reach = self._clip, segment.reach
        faces = self._latents.of(segment, callbacks.progress("encode"), callbacks.check_cancelled)
        tokens = self._trained.audio_tokens(clip.features, indices_at(len(clip.features), clip.times[reach]))
        return ClipConditioning(faces, tokens, clip.source[reach], self._trained)

    def generate(self, segment: Segment, encoded: ClipConditioning, callbacks: Callbacks) -> Tensor:
        """Latents (1, 4, frames, h, w) of a segment."""
        return sample_segment(segment, self._sampler, encoded, self._latents.noise.start, self._models, callbacks)

    def faces(self, segment: Segment, generated: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The decoded faces of a segment, a few at a time."""
        return generated_faces(generated, segment.synced, self._models.codec)

    def precision(self, stage: str) -> str:
        """The precision of VAE encoder, UNet and VAE decoder, in this order of the stages."""
        return precision_of(self._networks[stage])

    def restore_precision(self, stage: str, left_in: str) -> None:
        """Bring one of the three into the precision that a finished segment left it in."""
        restore_precision(self._networks[stage], left_in)

    def try_window(self, segment: Segment, encoded: ClipConditioning) -> tuple[float, Tensor]:
        """Seconds to denoise a window, by one step, or two where some reuse features; and the faces' own latents.

        All steps would take as long as a good part of a short run.
        """
        seconds = window_seconds(self._clip.settings, lambda steps: timed(partial(self._denoise_few, encoded, steps)))
        return seconds, rearrange(encoded.faces.reference, "f c h w -> 1 c f h w")

    def _denoise_few(self, encoded: ClipConditioning, steps: int) -> None:
        """One window through a step, or through two, of which the second reuses the first one's features."""
        settings, models = self._clip.settings, self._models
        count = settings.window
        tokens = replace(encoded.tokens, indices=encoded.tokens.indices[:1].expand(count, -1))
        first = replace(encoded, tokens=tokens, source=[encoded.source[0]] * count)
        guidance = max(settings.guidance.scale_at(step, settings.steps) for step in range(settings.steps))
        sampler = SamplerSettings(steps, guidance, settings.solver, models.device, reuse=steps)
        groups = window_groups([Window(0, count)])
        with contextlib.suppress(NonFiniteLatentsError):  # half precision that fails here is repaired in the run
            sample_clip(models.unet, self._latents.noise.start, first, groups, sampler, frames=count)

    def memory(self) -> dict[str, Any]:
        """The most bytes of latents held at once, and how many windows went through the network at once in the end."""
        return {"latents": self._latents.peak, "windows_at_once": self._batch.at_once}


def as_generator(models: Models | Generator) -> Generator:
    """LatentSync with some networks, or a generator as it is."""
    return models if isinstance(models, Generator) else LatentSync(models)


__all__ = ["LatentSync", "LatentSyncGeneration", "as_generator"]
