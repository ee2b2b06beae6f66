"""MuseTalk behind the generators' protocol: face latents, one pass, decoded faces."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...audio import AudioTokens, musetalk_indices_at, positions_wanted
from ...diffusion import NonFiniteLatentsError, Window, redraw_windows
from ...errors import LatentSyncError
from ...faces import FaceTrack, mask_lower_half
from ...media import VideoReader
from ...models.loading import Models
from ...progress import Callbacks
from ...settings import Settings
from ..clip import Clip
from ..face_latents import FaceLatents
from ..latent_generator import LatentGeneration, LatentGenerator
from ..moments_cache import CachedMoments
from ..segments import Segment
from .boxed_faces import BoxedFaces, boxed_faces, refuse_soft_edge

log = logging.getLogger(__name__)


class MuseTalk(LatentGenerator):
    """MuseTalk with the networks of `models`, whose Whisper gives its kind of features. release: "1.0" or "1.5"."""

    name = "musetalk"
    unused = frozenset({"steps", "guidance", "solver", "reuse", "null_interval", "window", "overlap"})
    hidden = "lower half"

    def __init__(self, models: Models, release: str = "1.5"):
        super().__init__(models)
        self.release = release

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
        return MuseTalkGeneration(self.models, clip, reader, self.moments(clip), positions=positions)

    def digests(self) -> dict[str, str]:
        """Of UNet, VAE and Whisper, and the release, which shapes the crop."""
        return {**super().digests(), "MuseTalk release": self.release}


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


class MuseTalkGeneration(LatentGeneration):
    """MuseTalk at work on one clip. Every frame is redrawn by itself; windows only say how many go at once."""

    def __init__(self, models: Models, clip: Clip, reader: VideoReader, moments: CachedMoments | None, positions: bool):
        super().__init__(models, clip, reader, moments, mask_lower_half)
        self._positions = positions

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
