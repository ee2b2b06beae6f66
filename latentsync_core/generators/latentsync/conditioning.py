"""What LatentSync denoises the windows of a clip from: face latents, audio tokens, how it was trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...audio import AudioTokens
from ...diffusion import Window
from ...diffusion.conditioning import TrainedConditioning
from ..face_latents import FaceLatents


@dataclass(frozen=True)
class ClipConditioning:
    """What every window of a clip is denoised from, gathered window by window so that no clip-long copy exists.

    source: the source frame behind each output frame. trained: how the checkpoint was conditioned.
    """

    faces: FaceLatents
    tokens: AudioTokens
    source: Sequence[int]
    trained: TrainedConditioning = TrainedConditioning()

    def window(self, span: Window) -> tuple[Tensor, Tensor, Tensor | None]:
        """condition (1 or 2, 9, f, h, w), voice tokens (f, n, d) and null tokens (f, n, d), None = zeros, of `span`."""
        part = slice(span.start, span.stop)
        voice, condition = self.tokens[part], self.faces.condition(self.source[part])
        return self.trained.with_null(condition), voice, self.trained.learned_null(voice)
