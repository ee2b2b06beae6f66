"""Denoising the windows of a segment, and what becomes of half precision that ends in NaN."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from ...diffusion import NonFiniteLatentsError, SamplerSettings, WindowBatch, sample_clip
from ...errors import LatentSyncError
from ...models.loading import Models
from ...progress import Callbacks
from ...settings import Settings
from ..segments import Segment
from .conditioning import ClipConditioning

log = logging.getLogger(__name__)


def sampler_settings(settings: Settings, device: torch.device, batch: WindowBatch) -> SamplerSettings:
    """How every segment is denoised. batch: of the whole run, so that one memory error is enough."""
    return SamplerSettings(
        steps=settings.steps,
        guidance=settings.guidance,
        solver=settings.solver,
        device=device,
        reuse=settings.reuse,
        reuse_null=settings.reuse_null,
        batch=batch,
    )


def sample_segment(
    segment: Segment,
    sampler: SamplerSettings,
    conditioning: ClipConditioning,
    noise: Tensor,
    models: Models,
    callbacks: Callbacks,
) -> Tensor:
    """Denoise a segment to latents (1, 4, frames, h, w); if half precision ends in NaN, once more in float32.

    The network stays in float32 then, for all segments to come, and a warning says so.
    """
    reach, progress = segment.reach, callbacks.progress("sample")
    before, total = sampler.steps * segment.first_window, sampler.steps * segment.all_windows
    progress(before, total)

    def sample() -> Tensor:
        latents = sample_clip(
            models.unet,
            noise,
            conditioning,
            [group.moved(-reach.start) for group in segment.groups],
            sampler,
            frames=reach.stop - reach.start,
            on_progress=lambda done, _: progress(before + done, total),
            check_cancelled=callbacks.check_cancelled,
        )
        return latents[:, :, segment.start - reach.start : segment.stop - reach.start]

    where = f"{{}} of the stretch from frame {reach.start} on"
    try:
        return sample()
    except NonFiniteLatentsError as error:
        if models.unet.dtype == torch.float32:
            raise damaged_checkpoint(where.format(error), models) from error
        where = where.format(error)
        log.warning("Denoising gave NaN in %s at %s; from there on it runs in float32.", where, models.unet.dtype)
    models.unet.float()
    try:
        return sample()
    except NonFiniteLatentsError as error:
        raise damaged_checkpoint(where, models) from error


def damaged_checkpoint(where: str, models: Models) -> LatentSyncError:
    """The error for a network that gives NaN whatever its precision."""
    name = models.sources.get("unet", "it")
    return LatentSyncError(
        f"Denoising gave NaN in {where} even in float32; the checkpoint is damaged ({name}): download it again."
    )


def passes(settings: Settings) -> tuple[float, float]:
    """How often a guided window's cost is paid by full steps, and by those that reuse features: a step without
    guidance costs half."""
    scales = [settings.guidance.scale_at(step, settings.steps) for step in range(settings.steps)]
    voice = [step % settings.reuse == 0 for step in range(settings.steps)]
    guided = [step for step, scale in enumerate(scales) if scale > 1]
    null = [step == guided[0] or step % settings.null_interval == 0 for step in guided]
    share = 0.5 if null else 1.0  # of the window that is timed, which is guided if any step is
    full = sum(voice) + sum(null)
    return share * full, share * (len(voice) + len(null) - full)


def window_seconds(settings: Settings, seconds: Callable[[int], float]) -> float:
    """What a window takes through all its steps. seconds: of a full step (1), and of that and a cached one (2)."""
    all_full, reused = passes(settings)
    full = seconds(1)
    return full * all_full + (max(seconds(2) - full, 0.0) * reused if reused else 0.0)
