"""Classifier-free guidance: how the prediction with the voice and the one without are combined, step by step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import LatentSyncError
from ..options import DEFAULT_GUIDANCE


@dataclass(frozen=True)
class Guidance:
    """Strength of the voice, and where along the schedule it applies.

    scale: eps = eps_null + scale * (eps_audio - eps_null); at most 1 means the voice's prediction alone, one pass
    instead of two. Useful 1.0 to 3.0.
    rescale: 0..1, pulls the result's standard deviation back to the voice's prediction (arXiv 2305.08891 section 3.4).
    start, end: the part of the schedule that is guided, 0 = first step, 1 = after the last (arXiv 2404.07724); the
    other steps take one pass.
    step_scales: one scale per step in place of `scale`.
    """

    scale: float = DEFAULT_GUIDANCE
    rescale: float = 0.0
    start: float = 0.0
    end: float = 1.0
    step_scales: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        scales = self.step_scales or (self.scale,)
        if not all(map(math.isfinite, scales)):
            raise LatentSyncError(
                f"The guidance scale is {', '.join(map(str, scales))}; it must be finite, 1 to 3 is usual."
            )
        if not 0 <= self.rescale <= 1:
            raise LatentSyncError(f"Guidance rescale is {self.rescale}; it must lie between 0 and 1.")
        if not 0 <= self.start <= self.end <= 1:
            raise LatentSyncError(
                f"The guided interval is {self.start} to {self.end}; it must satisfy 0 <= start <= end <= 1."
            )

    def scale_at(self, step: int, steps: int) -> float:
        """The scale of one step out of `steps`; 1 outside the interval."""
        if self.step_scales is not None and len(self.step_scales) != steps:
            raise LatentSyncError(f"{len(self.step_scales)} guidance scales were given for {steps} steps.")
        if not self.start <= step / steps < self.end:
            return 1.0
        return self.scale if self.step_scales is None else self.step_scales[step]

    def combine(self, null: Tensor, voice: Tensor, scale: float) -> Tensor:
        """Guide one step: `null` and `voice` are noise predictions (b, 4, f, h, w)."""
        guided = null + scale * (voice - null)
        if self.rescale == 0:
            return guided
        axes = tuple(range(1, voice.dim()))
        rescaled = guided * (voice.std(axes, keepdim=True) / guided.std(axes, keepdim=True))
        return self.rescale * rescaled + (1 - self.rescale) * guided


def as_guidance(guidance: Guidance | float | Sequence[float]) -> Guidance:
    """A plain number is a constant scale, a sequence of numbers one scale per step."""
    if isinstance(guidance, Guidance):
        return guidance
    if isinstance(guidance, Sequence):
        return Guidance(step_scales=tuple(float(scale) for scale in guidance))
    return Guidance(scale=float(guidance))
