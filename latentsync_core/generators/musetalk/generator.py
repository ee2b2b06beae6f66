"""MuseTalk behind the generators' protocol: face latents, one pass, decoded faces."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...audio import AudioTokens, musetalk_indices_at, positions_wanted
from ...diffusion import NonFiniteLatentsError, Window, WindowBatch, redraw_windows
from ...digests import weights_digest
from ...errors import LatentSyncError
from ...faces import FaceTrack, mask_lower_half
from ...media import VideoReader
from ...models.loading import Models
from ...progress import Callbacks
from ...settings import Settings
from ..clip import Clip
from ..face_latents import FaceLatents, generated_faces
from ..generator import Generation, Generator
from ..latent_cache import LatentCache
from ..moments_cache import CachedMoments, cached_moments, found_faces
from ..precision import networks_by_stage, precision_of, restore_precision
from ..segments import Segment
from .boxed_faces import BoxedFaces, boxed_faces, refuse_soft_edge

log = logging.getLogger(__name__)


class MuseTalk(Generator):
    """MuseTalk with the networks of `models`, whose Whisper gives its kind of features. release: "1.0" or "1.5"."""

    name = "musetalk"
    unused = frozenset({"steps", "guidance", "solver", "reuse", "null_interval", "window", "overlap"})

    def __init__(self, models: Models, release: str = "1.5"):
        self.models, self.release = models, release
        self.device, self.audio_encoder, self.sources = models.device, models.whisper, models.sources

    def working_resolution(self, asked: int | None) -> int:
        """As the checkpoint was trained; warns where something else is asked for."""
        return self.models.working_resolution(asked)

    def check(self, settings: Settings) -> None:
        """Raise LatentSyncError for options it has not, and for a position encoding that cannot be."""
        super().check(settings)
        refuse_soft_edge(settings.seam)
        self.adds_positions(settings.position)

    def adds_positions(self, position: str) -> bool:
        """Whether positions are added to the audio tokens; "auto" = as trained, which for the published files is off.

        Its own inference script adds them although its training never did (REFERENCE section 2).
        """
        try:
            return positions_wanted(position, self.models.unet.metadata.get("position_encoding"))
        except LatentSyncError as error:
            raise LatentSyncError(f"{self.sources.get('unet', 'The UNet')}: {error}") from error

    def face_crops(self, track: FaceTrack, settings: Settings) -> BoxedFaces:
        """Faces in upright boxes, stretched to a square."""
        return boxed_faces(track, settings, self.release)

    def begin(self, clip: Clip, reader: VideoReader) -> "MuseTalkGeneration":
        """Begin with a clip."""
        positions = self.adds_positions(clip.settings.position)
        return MuseTalkGeneration(self.models, clip, reader, self._moments(clip), positions=positions)

    def found_faces(self, clip: Clip) -> set[int]:
        """Those in the cache."""
        return found_faces(self._moments(clip), clip)

    def _moments(self, clip: Clip) -> CachedMoments | None:
        resolution = clip.settings.resolution
        return cached_moments(clip, self.models.codec, self.device, resolution=resolution, hidden="lower half")

    def precisions(self) -> dict[str, str]:
        """Of VAE encoder, UNet and VAE decoder."""
        return {stage: precision_of(network) for stage, network in networks_by_stage(self.models).items()}

    def digests(self) -> dict[str, str]:
        """Of UNet, VAE and Whisper, and the release, which shapes the crop."""
        return {
            "checkpoint": weights_digest(self.models.unet),
            "VAE": weights_digest(getattr(self.models.codec, "autoencoder", self.models.codec)),
            "Whisper": weights_digest(self.models.whisper),
            "MuseTalk release": self.release,
        }


@dataclass(frozen=True)
class WindowInputs:
    """What the windows of a segment are redrawn from.

    faces: latents of every face it shows. tokens: of its frames. source: the source frame behind each. start: the
    first of these frames, counted in the clip.
    """

    faces: FaceLatents
    tokens: AudioTokens
    source: Sequence[int]
    start: int

    def window(self, span: Window) -> tuple[Tensor, Tensor]:
        """Latents (f, 8, h, w) and audio tokens (f, n, d) of a window of the clip."""
        part = slice(span.start - self.start, span.stop - self.start)
        return self.faces.pairs(self.source[part]), self.tokens[part]


class MuseTalkGeneration(Generation):
    """MuseTalk at work on one clip. Every frame is redrawn by itself; windows only say how many go at once."""

    def __init__(self, models: Models, clip: Clip, reader: VideoReader, moments: CachedMoments | None, positions: bool):
        settings, codec = clip.settings, models.codec
        self._models, self._clip, self._positions = models, clip, positions
        self._batch = WindowBatch(settings.batch)
        self._latents = LatentCache(
            reader,
            clip.segments,
            clip.source,
            clip.crops,
            codec,
            resolution=settings.resolution,
            seed=settings.seed,
            moments=moments,
            hide_mouth=mask_lower_half,
        )
        self._networks = networks_by_stage(models)

    def encode(self, segment: Segment, callbacks: Callbacks) -> WindowInputs:
        """Latents and audio tokens of a segment."""
        clip, reach = self._clip, segment.reach
        faces = self._latents.of(segment, callbacks.progress("encode"), callbacks.check_cancelled)
        steps = musetalk_indices_at(len(clip.features), clip.times[reach])
        return WindowInputs(
            faces, AudioTokens(clip.features, steps, self._positions), source=clip.source[reach], start=reach.start
        )

    def generate(self, segment: Segment, encoded: WindowInputs, callbacks: Callbacks) -> Tensor:
        """Latents (1, 4, frames, h, w) of a segment; where half precision ends in NaN, once more in float32."""
        try:
            return self._redraw(segment, encoded, callbacks)
        except NonFiniteLatentsError as error:
            if self._models.unet.dtype == torch.float32:
                raise self._damaged(segment) from error
            log.warning("MuseTalk gave NaN at %s; from here on it runs in float32.", self._models.unet.dtype)
        self._models.unet.float()
        try:
            return self._redraw(segment, encoded, callbacks)
        except NonFiniteLatentsError as error:
            raise self._damaged(segment) from error

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

    def _redraw(self, segment: Segment, encoded: WindowInputs, callbacks: Callbacks) -> Tensor:
        unet, height, width = self._models.unet, *encoded.faces.masked.shape[-2:]
        latents = torch.zeros(1, 4, len(segment), height, width)
        windows, progress, done = segment.windows, callbacks.progress("sample"), segment.first_window
        self._batch.fit(unet, max(map(len, windows), default=0), width, self._models.device)
        progress(done, segment.all_windows)
        for part, redrawn in redraw_windows(unet, windows, encoded.window, self._batch):
            callbacks.check_cancelled()
            frames = [frame - segment.start for span in part for frame in range(span.start, span.stop)]
            latents[0, :, frames] = redrawn.transpose(0, 1)
            done += len(part)
            progress(done, segment.all_windows)
        return latents

    def _damaged(self, segment: Segment) -> LatentSyncError:
        return LatentSyncError(
            f"MuseTalk gave NaN in frames {segment.start} to {segment.stop - 1} even in float32; the checkpoint is "
            f"damaged ({self._models.sources.get('unet', 'it')}): download it again."
        )
