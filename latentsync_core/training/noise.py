"""Noise as LatentSync is trained with: partly shared by the frames of a window, partly each frame's own."""

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from ..diffusion.schedule import SETTINGS, TRAIN_STEPS


def training_schedule() -> DDIMScheduler:
    """The schedule of the sampler, for adding noise."""
    return DDIMScheduler(**SETTINGS, set_alpha_to_one=False, clip_sample=False)


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


def predicted_latents(noisy: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """The clean latents that a noise prediction implies: (b, 4, f, h, w); alphas (b,): alphas_cumprod at each step."""
    alphas = alphas[:, None, None, None, None]
    return (noisy - (1 - alphas).sqrt() * noise) / alphas.sqrt()
