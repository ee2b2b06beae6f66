"""LatentSync behind the generators' protocol: face latents, windows denoised with guidance, decoded faces."""

import contextlib
import logging
from dataclasses import replace
from functools import partial

from einops import rearrange
from torch import Tensor

from ...audio import indices_at
from ...diffusion import NonFiniteLatentsError, SamplerSettings, Window, sample_clip, window_groups
from ...diffusion.conditioning import TrainedConditioning
from ...faces import FaceTrack, fixed_mask
from ...media import VideoReader
from ...models.loading import Models
from ...progress import Callbacks
from ...settings import Settings
from ..aligned_faces import AlignedFaces, aligned_faces
from ..clip import Clip
from ..face_latents import hide_lower_face
from ..generator import Generator, timed
from ..latent_generator import LatentGeneration, LatentGenerator
from ..moments_cache import CachedMoments
from ..segments import Segment
from .conditioning import ClipConditioning
from .known_face import check_known, face_error
from .sampling import sample_segment, sampler_settings, window_seconds

log = logging.getLogger(__name__)


class LatentSync(LatentGenerator):
    """LatentSync with the networks of `models`. instead: for faces that the embedded model does not know."""

    name = "latentsync"
    unused = frozenset({"bbox_shift"})
    hidden = "lower face"

    def __init__(self, models: Models, instead: Generator | None = None):
        super().__init__(models)
        self.instead = instead

    def check(self, settings: Settings) -> None:
        """Raise LatentSyncError for a resolution or a position encoding that cannot be; warn where a student is
        sampled otherwise than it was trained for.
        """
        super().check(settings)
        fixed_mask(settings.resolution)
        TrainedConditioning.of_models(self.models, settings.position)
        student = self.models.student
        objection = student and student.objection(settings.steps, settings.solver, settings.guidance.scale)
        if objection:
            log.warning(objection)

    def face_crops(self, track: FaceTrack, settings: Settings) -> AlignedFaces:
        """Faces aligned by a similarity transform."""
        return aligned_faces(track, settings)

    def begin(self, clip: Clip, reader: VideoReader) -> "LatentSyncGeneration":
        """Begin with a clip."""
        return LatentSyncGeneration(self.models, clip, reader, self.moments(clip))

    def check_face(self, reader: VideoReader, clip: Clip) -> None:
        """Refuse a face that the embedded model, where nobody asked for it, does not know."""
        if self.models.fallback and clip.shown:
            error = face_error(reader, clip.track, clip.shown, clip.settings.cache)
            check_known(error, clip.video, "--checkpoint embedded")


class LatentSyncGeneration(LatentGeneration):
    """LatentSync at work on one clip."""

    def __init__(self, models: Models, clip: Clip, reader: VideoReader, moments: CachedMoments | None):
        super().__init__(models, clip, reader, moments, hide_lower_face)
        self._sampler = sampler_settings(clip.settings, models.device, self._batch)
        self._trained = TrainedConditioning.of_models(models, clip.settings.position)

    def encode(self, segment: Segment, callbacks: Callbacks) -> ClipConditioning:
        """What the windows of a segment are denoised from."""
        clip, reach = self._clip, segment.reach
        faces = self._latents.of(segment, callbacks.progress("encode"), callbacks.check_cancelled)
        tokens = self._trained.audio_tokens(clip.features, indices_at(len(clip.features), clip.times[reach]))
        return ClipConditioning(faces, tokens, clip.source[reach], self._trained)

    def generate(self, segment: Segment, encoded: ClipConditioning, callbacks: Callbacks) -> Tensor:
        """Latents (1, 4, frames, h, w) of a segment."""
        return sample_segment(segment, self._sampler, encoded, self._latents.noise.start, self._models, callbacks)

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


def as_generator(models: Models | Generator) -> Generator:
    """LatentSync with some networks, or a generator as it is."""
    return models if isinstance(models, Generator) else LatentSync(models)


__all__ = ["LatentSync", "LatentSyncGeneration", "as_generator"]
