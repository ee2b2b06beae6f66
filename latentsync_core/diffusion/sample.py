"""Denoise the face latents of a whole clip from one frame of noise; overlapping windows are fused."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..options import DEFAULT_BATCH, DEFAULT_GUIDANCE, DEFAULT_REUSE, DEFAULT_STEPS, WINDOW_FRAMES
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .batching import WindowBatch, as_window_batch, lots
from .denoising import GroupDenoising, OnClean, denoise_groups
from .guidance import Guidance
from .prediction import Conditioning, NoisePredictor, TensorConditioning
from .sampler_settings import SamplerSettings
from .windows import Window, WindowGroup, plan_windows, window_groups


class NonFiniteLatentsError(ArithmeticError):
    """Denoising gave NaN or infinity, as half precision can on some devices."""


def shared_noise(side: int, generator: torch.Generator) -> Tensor:
    """The one frame of N(0,1) noise that every frame of a clip starts from: (1, 4, 1, side, side) float32.

    side: in latent pixels. generator: on the CPU, so that a seed gives the same noise on every machine.
    """
    return torch.randn((1, 4, 1, side, side), generator=generator)


def sample_windows(
    unet: NoisePredictor,
    noise: Tensor,
    condition: Tensor,
    audio_tokens: Tensor,
    steps: int = DEFAULT_STEPS,
    guidance: Guidance | float | Sequence[float] = DEFAULT_GUIDANCE,
    window: int = WINDOW_FRAMES,
    reuse: int = DEFAULT_REUSE,
    *,
    overlap: int = 0,
    windows: Sequence[Window] | None = None,
    null_tokens: Tensor | None = None,
    solver: str = "ddim",
    reuse_null: int | None = None,
    batch: WindowBatch | int | str = DEFAULT_BATCH,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Tensor:
    """Denoise the face latents of a clip given as tensors (REFERENCE section 1, "Diffusion").

    Args:
        unet: the noise predictor.
        noise: (1, 4, 1, h, w), repeated for every frame, or (1, 4, F, h, w).
        condition: (1, 9, F, h, w): mask 1, masked-face latents 4, reference latents 4; its device is the one used.
        audio_tokens: (F, n, d).
        steps: denoising steps.
        guidance: a scale, one scale per step, or a `Guidance`.
        window: frames denoised together.
        reuse: interval of full steps, see `SamplerSettings`.
        overlap: frames that neighbouring windows share, see `plan_windows`.
        windows: in place of `window` and `overlap`.
        null_tokens: unconditional embedding, (1, n, d); None = zeros.
        solver: see `make_schedule`.
        reuse_null: interval of full steps of the unconditional prediction, see `SamplerSettings`.
        batch: how many windows go through the network at once, see `WindowBatch`.
        on_progress: counts denoising steps over all windows.
        check_cancelled: called after every step.

    Returns (1, 4, F, h, w) float32 scaled latents on the CPU.
    """
    frames = condition.shape[2]
    planned = plan_windows([True] * frames, window=window, overlap=overlap) if windows is None else windows
    return sample_clip(
        unet,
        noise,
        TensorConditioning(condition, audio_tokens, null_tokens),
        window_groups(planned),
        SamplerSettings(
            steps=steps,
            guidance=guidance,
            solver=solver,
            device=condition.device,
            reuse=reuse,
            reuse_null=reuse_null,
            batch=batch,
        ),
        frames=frames,
        on_progress=on_progress,
        check_cancelled=check_cancelled,
    )


@torch.inference_mode()
def sample_clip(
    unet: NoisePredictor,
    noise: Tensor,
    conditioning: Conditioning,
    groups: Sequence[WindowGroup],
    settings: SamplerSettings,
    *,
    frames: int,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
    on_clean: OnClean | None = None,
) -> Tensor:
    """Denoise a clip, the windows of a group fused; groups go side by side where they share a batch.

    Six arguments say what is sampled, two are the callbacks of every long computation, one is for pictures.

    Args:
        unet: the noise predictor.
        noise: (1, 4, 1, h, w), repeated for every frame, or (1, 4, frames, h, w).
        conditioning: of every window.
        groups: see `window_groups`.
        settings: steps, guidance, solver, device, reuse and batch.
        frames: of the clip.
        on_progress: counts denoising steps over all windows.
        check_cancelled: called after every step.
        on_clean: see `OnClean`; costs a few additions where it is given.

    Returns (1, 4, frames, h, w) float32 scaled latents on the CPU, zero where no group lies.
    Raises NonFiniteLatentsError when a window gives NaN or infinity.
    """
    latents = torch.zeros((1, 4, frames, *noise.shape[-2:]), dtype=torch.float32)
    batch, counts = as_window_batch(settings.batch), [len(group.windows) for group in groups]
    done, total = 0, settings.steps * sum(counts)

    def step_done() -> None:
        nonlocal done
        done += 1
        on_progress(done, total)
        check_cancelled()

    check_cancelled()
    longest = max((len(span) for group in groups for span in group.windows), default=0)
    batch.fit(unet, longest, noise.shape[-1], settings.device)
    for lot in lots(groups, counts, batch):
        started = [GroupDenoising.begin(unet, noise, conditioning, group, settings) for group in lot]
        denoise_groups(unet, started, settings, batch, step_done, on_clean)
        for group, denoised in zip(lot, started, strict=True):
            reach, found = group.reach, denoised.latents.cpu()
            if not torch.isfinite(found).all():
                raise NonFiniteLatentsError(f"frames {reach.start} to {reach.stop - 1}")
            latents[:, :, group.start : group.stop] = found[:, :, group.start - reach.start : group.stop - reach.start]
    return latents
