"""Multistep sampling of a latent consistency model (arXiv 2310.04378, algorithm 3)."""

import torch
from torch import Tensor

from .ddim import DDIMSchedule, Step

SIGMA_DATA = 0.5  # of the boundary condition, as in the paper's appendix B
TIMESTEP_SCALE = 10.0


def boundary_scalings(timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out at `timesteps`, of their shape: 1 and 0 at timestep 0, where the function is the identity."""
    scaled = TIMESTEP_SCALE * timesteps
    variance = SIGMA_DATA**2 + scaled**2
    return SIGMA_DATA**2 / variance, scaled / variance**0.5


def consistency_function(noisy: Tensor, predicted_noise: Tensor, alphas: Tensor, timesteps: Tensor) -> Tensor:
    """The clean latents that a consistency model gives for noisy ones, shaped as these.

    alphas, timesteps: of each sample, broadcast to the latents: share of the signal's variance, and 0 to 999.
    """
    clean = (noisy - (1 - alphas) ** 0.5 * predicted_noise) / alphas**0.5
    skip, out = boundary_scalings(timesteps)
    return skip * noisy + out * clean


class ConsistencySchedule(DDIMSchedule):
    """At every step the clean latents at once, and noise again for the next step.

    The noise is that which sampling started with, so that the frames of a clip go on sharing it and a seed gives the
    same file however the windows are batched. Keeps it from the first step on: every group needs its own schedule.
    """

    def __init__(self, alphas_cumprod: Tensor, timesteps: Tensor):
        super().__init__(alphas_cumprod, timesteps)
        self._noise: Tensor | None = None

    def step(self, predicted_noise: Tensor, timestep: Tensor, latents: Tensor) -> Step:
        """One step from `timestep` on; the last ends free of noise."""
        if self._noise is None:
            self._noise = latents
        clean = consistency_function(latents, predicted_noise, self.alphas_cumprod[timestep], torch.as_tensor(timestep))
        following = self.next_timestep(timestep)
        if following == 0:
            return Step(clean)
        alpha = self.alphas_cumprod[following]
        return Step(alpha**0.5 * clean + (1 - alpha) ** 0.5 * self._noise)
