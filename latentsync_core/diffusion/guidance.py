"""Classifier-free guidance: how the conditional and the unconditional prediction are combined, step by step."""

from collections.abc import Sequence

from ..options import Guidance

__all__ = ["Guidance", "as_guidance"]


def as_guidance(guidance: Guidance | float | Sequence[float]) -> Guidance:
    """A plain number is a constant scale, a sequence of numbers one scale per step."""
    if isinstance(guidance, Guidance):
        return guidance
    if isinstance(guidance, Sequence):
        return Guidance(step_scales=tuple(float(scale) for scale in guidance))
    return Guidance(scale=float(guidance))
