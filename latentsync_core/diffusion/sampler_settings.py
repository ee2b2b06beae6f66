"""How a clip is denoised."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..options import DEFAULT_BATCH, DEFAULT_GUIDANCE, DEFAULT_REUSE, DEFAULT_STEPS, check_reuse
from .batching import WindowBatch, as_window_batch
from .guidance import Guidance


@dataclass(frozen=True)
class SamplerSettings:
    """How a clip is denoised.

    steps: denoising steps. guidance: a scale, one scale per step, or a `Guidance`. solver: see `make_schedule`.
    device: where the network runs. reuse: every how many steps the whole UNet runs; the steps between reuse its deep
    features (REFERENCE section 4; the published scripts run with 3). 1 = at every step. reuse_null: the same for the
    unconditional prediction; None = as `reuse`. batch: how many windows go through the network at once, see
    `WindowBatch`; one that is given is asked by every call and learns from a memory error. Raises LatentSyncError for
    an interval or a batch that cannot be.
    """

    steps: int = DEFAULT_STEPS
    guidance: Guidance | float | Sequence[float] = DEFAULT_GUIDANCE
    solver: str = "ddim"
    device: torch.device | str = "cpu"
    reuse: int = DEFAULT_REUSE
    reuse_null: int | None = None
    batch: WindowBatch | int | str = DEFAULT_BATCH

    def __post_init__(self) -> None:
        check_reuse(self.reuse)
        check_reuse(self.null_interval)
        as_window_batch(self.batch)

    @property
    def null_interval(self) -> int:
        """Every how many steps the whole UNet runs for the unconditional prediction."""
        return self.reuse if self.reuse_null is None else self.reuse_null

    @property
    def reuses(self) -> bool:
        """Whether any step reuses features."""
        return max(self.reuse, self.null_interval) > 1
