"""Denoise the face latents of a whole clip from one frame of noise; overlapping windows are fused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..options import DEFAULT_GUIDANCE, DEFAULT_REUSE, DEFAULT_STEPS, WINDOW_FRAMES, check_reuse
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .guidance import Guidance, as_guidance
from .prediction import (
    Conditioning,
    NoisePredictor,
    TensorConditioning,
    WindowInputs,
    predict_windows,
    window_inputs,
)
from .schedule import make_schedule
from .windows import Window, WindowGroup, plan_windows, window_groups


class NonFiniteLatentsError(ArithmeticError):
    """Denoising gave NaN or infinity, as half precision can on some devices."""


def shared_noise(side: int, generator: torch.Generator) -> Tensor:
    """The one frame of N(0,1) noise that every frame of a clip starts from: (1, 4, 1, side, side) float32.

    side: in latent pixels. generator: on the CPU, so that a seed gives the same noise on every machine.
    """
    return torch.randn((1, 4, 1, side, side), generator=generator)


@dataclass(frozen=True)
class SamplerSettings:
    """How a clip is denoised.

    steps: denoising steps. guidance: a scale, one scale per step, or a `Guidance`. solver: see `make_schedule`.
    device: where the network runs. reuse: every how many steps the whole UNet runs; the steps between reuse its deep
    features (REFERENCE section 4; the published scripts run with 3). 1 = at every step. reuse_null: the same for the
    unconditional prediction; None = as `reuse`. Raises LatentSyncError for an interval that cannot be.
    """

    steps: int = DEFAULT_STEPS
    guidance: Guidance | float | Sequence[float] = DEFAULT_GUIDANCE
    solver: str = "ddim"
    device: torch.device | str = "cpu"
    reuse: int = DEFAULT_REUSE
    reuse_null: int | None = None

    def __post_init__(self) -> None:
        check_reuse(self.reuse)
        check_reuse(self.null_interval)

    @property
    def null_interval(self) -> int:
        """Every how many steps the whole UNet runs for the unconditional prediction."""
        return self.reuse if self.reuse_null is None else self.reuse_null

    @property
    def reuses(self) -> bool:
        """Whether any step reuses features."""
        return max(self.reuse, self.null_interval) > 1


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
) -> Tensor:
    """Denoise a clip group by group, the windows of a group fused.

    Six arguments say what is sampled, two are the callbacks of every long computation.

    Args:
        unet: the noise predictor.
        noise: (1, 4, 1, h, w), repeated for every frame, or (1, 4, frames, h, w).
        conditioning: of every window.
        groups: see `window_groups`.
        settings: steps, guidance, solver and device.
        frames: of the clip.
        on_progress: counts denoising steps over all windows.
        check_cancelled: called after every step.

    Returns (1, 4, frames, h, w) float32 scaled latents on the CPU, zero where no group lies.
    Raises NonFiniteLatentsError when a window gives NaN or infinity.
    """
    dtype, device = getattr(unet, "dtype", torch.float32), settings.device
    latents = torch.zeros((1, 4, frames, *noise.shape[-2:]), dtype=torch.float32)
    done, total = 0, settings.steps * sum(len(group.windows) for group in groups)

    def step_done() -> None:
        nonlocal done
        done += 1
        on_progress(done, total)
        check_cancelled()

    check_cancelled()
    for group in groups:
        reach = group.reach
        start = (
            noise.expand(-1, -1, len(reach), -1, -1) if noise.shape[2] == 1 else noise[:, :, reach.start : reach.stop]
        )
        inputs = window_inputs(group.windows, conditioning, dtype, device, settings.reuses)
        denoised = denoise_group(unet, start.to(device), inputs, settings, step_done).cpu()
        if not torch.isfinite(denoised).all():
            raise NonFiniteLatentsError(f"frames {reach.start} to {reach.stop - 1}")
        latents[:, :, group.start : group.stop] = denoised[:, :, group.start - reach.start : group.stop - reach.start]
    return latents


def denoise_group(
    unet: NoisePredictor,
    noise: Tensor,
    windows: Sequence[WindowInputs],
    settings: SamplerSettings,
    step_done: Callable[[], None],
) -> Tensor:
    """Run a group's windows through every step of a schedule.

    Args:
        unet: the noise predictor.
        noise: (1, 4, f, h, w).
        windows: the network's inputs for each window.
        settings: steps, guidance, solver and reuse.
        step_done: called after each window of each step.

    Returns latents (1, 4, f, h, w) float32. At every step the windows' noise predictions are fused, then one solver
    step is taken for all frames, so that a multistep solver keeps one history. The network may run in half precision;
    the latents between steps do not, so errors do not add up.
    """
    guidance = as_guidance(settings.guidance)
    schedule: Any = make_schedule(settings.solver, settings.steps)  # diffusers states no common interface
    latents = noise.float() * schedule.init_noise_sigma
    steps = len(schedule.timesteps)
    for step, timestep in enumerate(schedule.timesteps):
        scaled = schedule.scale_model_input(latents, timestep)
        scale = guidance.scale_at(step, steps)
        predicted = torch.zeros_like(latents)
        for window in windows:
            window.forget(step, settings.reuse, settings.null_interval)
            noise_here = predict_windows(unet, scaled[:, :, window.part], timestep, [window], guidance, scale)
            predicted[:, :, window.part] += noise_here * window.weight
            step_done()
        latents = schedule.step(predicted, timestep, latents).prev_sample
    return latents
