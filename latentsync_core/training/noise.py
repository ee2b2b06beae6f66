"""The noise that LatentSync is trained with: partly shared by the frames of a window, partly independent."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.ddim import DDIMSchedule, trailing_timesteps
from ..diffusion.schedule import TRAIN_STEPS, training_alphas

FIRST_STEPS = range(750, TRAIN_STEPS)  # where sampling starts, with 4 steps or more


def training_schedule() -> DDIMSchedule:
    """A schedule through every training timestep, for adding noise."""
    return DDIMSchedule(training_alphas(), trailing_timesteps(TRAIN_STEPS, TRAIN_STEPS))


def mixed_noise(shape: tuple[int, ...], mix: float, generator: torch.Generator) -> Tensor:
    """Unit-variance noise (b, 4, f, h, w) whose frames share mix^2 / (1 + mix^2) of their variance.

    mix: 1 as LatentSync, half shared and half per frame; 0 leaves the frames independent (arXiv 2305.10474, eq. 4;
    REFERENCE section 1, "Training").
    """
    shared = torch.randn(shape[0], shape[1], 1, *shape[3:], generator=generator)
    own = torch.randn(shape, generator=generator)
    return (mix * shared + own) / (1 + mix**2) ** 0.5


def draw_timesteps(batch: int, generator: torch.Generator) -> Tensor:
    """(b,) int64, uniform over 0..999: one per window."""
    return torch.randint(0, TRAIN_STEPS, (batch,), generator=generator)


@dataclass(frozen=True)
class NoisedLatents:
    """The network's input and its target: noisy, noise (b, 4, f, h, w); timesteps (b,) int64."""

    noisy: Tensor
    noise: Tensor
    timesteps: Tensor


def noised_latents(
    clean: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    schedule: DDIMSchedule,
    from_noise: float,
    generator: torch.Generator,
) -> NoisedLatents:
    """Add noise to clean latents, and replace a share `from_noise` of the windows by pure noise.

    Even at the last timestep the noisy latents keep some of the clean picture, enough to infer how far the mouth is
    open; sampling starts without it, and a network that relies on it generates a half-open mouth (arXiv 2305.08891
    describes the same fault for brightness). Windows of pure noise, at timesteps like those that sampling starts from,
    can only be predicted from the audio: their target is the noise that leads from the input to the clean latents.

    Args:
        clean, noise: (b, 4, f, h, w).
        timesteps: (b,), on the same device.
        schedule: of `training_schedule`.
        from_noise: share of the windows, 0..1.
        generator: on the CPU; the number of draws does not depend on the share.
    """
    pure_noise = (torch.rand(len(clean), generator=generator) < from_noise).to(clean.device)
    early_steps = torch.randint(FIRST_STEPS.start, FIRST_STEPS.stop, (len(clean),), generator=generator).to(
        clean.device
    )
    timesteps = torch.where(pure_noise, early_steps, timesteps)
    noisy = schedule.add_noise(clean, noise, timesteps)
    alphas = schedule.alphas_cumprod.to(clean.device)[timesteps][:, None, None, None, None]
    residual = (noise - alphas.sqrt() * clean) / (1 - alphas).sqrt()
    pure_noise = pure_noise[:, None, None, None, None]
    return NoisedLatents(torch.where(pure_noise, noise, noisy), torch.where(pure_noise, residual, noise), timesteps)


def predicted_latents(noisy: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """The clean latents that a noise prediction implies: (b, 4, f, h, w); alphas (b,): alphas_cumprod at each step."""
    alphas = alphas[:, None, None, None, None]
    return (noisy - (1 - alphas).sqrt() * noise) / alphas.sqrt()
