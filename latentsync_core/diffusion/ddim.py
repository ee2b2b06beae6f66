"""DDIM without added noise, LatentSync's own solver (arXiv 2010.02502, equation 12 with eta 0)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """What a solver's step gives: prev_sample, the latents at the next timestep, shaped as those before."""

    prev_sample: Tensor


class DDIMSchedule:
    """Evenly spaced timesteps, and the step from each to the next.

    Args:
        alphas_cumprod: (T,) float32, share of the signal's variance at every training timestep.
        steps: denoising steps, at most T.
        steps_offset: added to every timestep.

    timesteps: (steps,) int64, falling. init_noise_sigma: 1, the standard deviation that sampling starts with.
    """

    init_noise_sigma = 1.0

    def __init__(self, alphas_cumprod: Tensor, steps: int, steps_offset: int):
        self.alphas_cumprod = alphas_cumprod
        self.stride = len(alphas_cumprod) // steps
        self.timesteps = torch.arange(steps).mul(self.stride).flip(0) + steps_offset

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The network's input at a timestep: the latents as they are."""
        return latents

    def step(self, predicted_noise: Tensor, timestep: Tensor, latents: Tensor) -> Step:
        """One step from `timestep` on; the last ends at the first training timestep, not free of noise."""
        alpha = self.alphas_cumprod[timestep]
        next_alpha = self.alphas_cumprod[max(int(timestep) - self.stride, 0)]
        clean = (latents - (1 - alpha) ** 0.5 * predicted_noise) / alpha**0.5
        return Step(next_alpha**0.5 * clean + (1 - next_alpha) ** 0.5 * predicted_noise)

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents (b, ...) as they are at `timesteps` (b,): sqrt(alpha) clean + sqrt(1 - alpha) noise."""
        alphas = self.alphas_cumprod.to(device=clean.device, dtype=clean.dtype)[timesteps.to(clean.device)]
        alphas = alphas.reshape(-1, *[1] * (clean.ndim - 1))
        return alphas**0.5 * clean + (1 - alphas) ** 0.5 * noise
