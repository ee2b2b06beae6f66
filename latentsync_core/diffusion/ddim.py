"""DDIM without added noise, LatentSync's own solver (arXiv 2010.02502, equation 12 with eta 0)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """What a solver's step gives: prev_sample, the latents at the next timestep, shaped as those before."""

    prev_sample: Tensor


class DDIMSchedule:
    """Falling timesteps, and the step from each to the next.

    Args:
        alphas_cumprod: (T,) float32, share of the signal's variance at every training timestep.
        timesteps: (steps,) int64, falling; see `leading_timesteps` and `trailing_timesteps`.

    init_noise_sigma: 1, the standard deviation that sampling starts with.
    """

    init_noise_sigma = 1.0

    def __init__(self, alphas_cumprod: Tensor, timesteps: Tensor):
        self.alphas_cumprod = alphas_cumprod
        self.timesteps = timesteps

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The network's input at a timestep: the latents as they are."""
        return latents

    def next_timestep(self, timestep: Tensor | int) -> int:
        """Where the step from `timestep` ends: at the next lower timestep, the last at 0, not free of noise."""
        lower = self.timesteps[self.timesteps < int(timestep)]
        return int(lower[0]) if len(lower) else 0

    def step(self, predicted_noise: Tensor, timestep: Tensor, latents: Tensor) -> Step:
        """One step from `timestep` on."""
        alpha, next_alpha = self.alphas_cumprod[timestep], self.alphas_cumprod[self.next_timestep(timestep)]
        return Step(ddim_step(latents, predicted_noise, alpha, next_alpha))

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents (b, ...) as they are at `timesteps` (b,): sqrt(alpha) clean + sqrt(1 - alpha) noise."""
        alphas = self.alphas_cumprod.to(device=clean.device, dtype=clean.dtype)[timesteps.to(clean.device)]
        alphas = alphas.reshape(-1, *[1] * (clean.ndim - 1))
        return alphas**0.5 * clean + (1 - alphas) ** 0.5 * noise


def ddim_step(latents: Tensor, predicted_noise: Tensor, alpha: Tensor, next_alpha: Tensor) -> Tensor:
    """From latents where the share of signal is `alpha` to those where it is `next_alpha`; all broadcast."""
    clean = (latents - (1 - alpha) ** 0.5 * predicted_noise) / alpha**0.5
    return next_alpha**0.5 * clean + (1 - next_alpha) ** 0.5 * predicted_noise


def leading_timesteps(train_steps: int, steps: int, offset: int) -> Tensor:
    """(steps,) int64, evenly spaced from `offset` upwards and turned round: 951, 901, ... 1 for 20 of 1000."""
    return torch.arange(steps).mul(train_steps // steps).flip(0) + offset


def trailing_timesteps(train_steps: int, steps: int) -> Tensor:
    """(steps,) int64, evenly spaced from the last one downwards: 999, 749, 499, 249 for 4 of 1000.

    Sampling starts where training has nearly nothing but noise (arXiv 2305.08891, section 3.3), which counts where
    steps are few. Those of n steps are among those of a multiple of n.
    """
    return torch.tensor([round(train_steps * (steps - place) / steps) - 1 for place in range(steps)])
