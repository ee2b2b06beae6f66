"""A student's teacher: the network it starts from, guided, by DDIM."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Guidance
from ..diffusion.conditioning import TrainedConditioning
from ..diffusion.ddim import DDIMSchedule, ddim_step
from .batches import TrainingBatch
from .lora import without_lora
from .networks import TrainedNetworks
from .objectives import Predict
from .precision import mixed_precision


@dataclass(frozen=True)
class Teacher:
    """A network as it samples: guided, by DDIM over `schedule`.

    predict: a forward pass of it, without gradient. guidance: as in sampling. conditioning: as it was trained.
    """

    predict: Predict
    conditioning: TrainedConditioning
    guidance: Guidance
    schedule: DDIMSchedule

    def noise(self, noisy: Tensor, timesteps: Tensor, batch: TrainingBatch) -> Tensor:
        """The guided noise prediction: (b, 4, f, h, w) at timesteps (b,) -> the same shape, float32."""
        condition, voice, scale = batch.condition, batch.voice, self.guidance.scale
        if scale <= 1:
            return self.predict(torch.cat([noisy, condition], dim=1), timesteps, voice).float()
        both = torch.cat([self.conditioning.null_condition(condition), condition])
        sample = torch.cat([noisy.repeat(2, 1, 1, 1, 1), both], dim=1)
        tokens = torch.cat([self.conditioning.null_like(voice), voice])
        null, heard = self.predict(sample, timesteps.repeat(2), tokens).float().chunk(2)
        return self.guidance.combine(null, heard, scale)

    @torch.no_grad()
    def solve(self, noisy: Tensor, places: Tensor, steps: int, batch: TrainingBatch) -> Tensor:
        """`steps` DDIM steps from the schedule's timesteps number `places` (b,) on: (b, 4, f, h, w)."""
        for step in range(steps):
            now = points(self.schedule, places + step, noisy)
            then = points(self.schedule, places + step + 1, noisy)
            noisy = ddim_step(noisy, self.noise(noisy, now.timesteps, batch), now.alphas, then.alphas)
        return noisy


@dataclass(frozen=True)
class Points:
    """Noise levels of a batch: timesteps (b,) int64, alphas (b, 1, 1, 1, 1), share of the signal's variance."""

    timesteps: Tensor
    alphas: Tensor


def points(schedule: DDIMSchedule, places: Tensor, like: Tensor) -> Points:
    """The schedule's timesteps number `places` (b,), counted from the noisiest; behind the last one lies timestep 0."""
    timesteps = torch.cat([schedule.timesteps, torch.zeros(1, dtype=torch.int64)])[places]
    alphas = schedule.alphas_cumprod[timesteps].to(like)
    return Points(timesteps.to(like.device), alphas[:, None, None, None, None])


def teacher_predictor(networks: TrainedNetworks, precision: str) -> Predict:
    """A forward pass of the UNet as it was before training: without its LoRA, or by a frozen copy of all its weights.

    precision: of the pass, as of the student's. To be made before any weight has changed.
    """
    unet, device = networks.unet, networks.models.device
    frozen = unet if networks.lora else copy.deepcopy(unet).requires_grad_(False).eval()

    @torch.no_grad()
    def predict(sample: Tensor, timesteps: Tensor, voice: Tensor) -> Tensor:
        with without_lora(networks.lora), mixed_precision(device, precision):
            return frozen(sample, timesteps, voice)

    return predict
