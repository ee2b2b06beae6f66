"""What a UNet is trained to predict: the noise in a window (LatentSync), or every frame in one step (MuseTalk)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from einops import rearrange
from torch import Tensor

from ..diffusion import (
    NoisePredictor,
    SamplerSettings,
    TensorConditioning,
    Window,
    redraw_latents,
    sample_clip,
    shared_noise,
    window_groups,
)
from ..diffusion.conditioning import ConditionDropout, TrainedConditioning
from ..diffusion.ddim import DDIMSchedule
from .batches import TrainingBatch
from .config import LossConfig
from .losses import PictureLosses, latent_loss, noise_loss, step_weights
from .noise import draw_timesteps, mixed_noise, noised_latents, predicted_latents

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``predict(sample (b, c, f, h, w), timesteps (b,), voice (b*f, n, d)) -> (b, 4, f, h, w)``: the UNet in training."""


class Objective(Protocol):
    """A way to train."""

    def losses(self, batch: TrainingBatch, predict: Predict, generator: torch.Generator) -> dict[str, Tensor]:
        """Every loss of a batch by name, unweighted, and "loss", their weighted sum. generator: on the CPU."""

    def sample(self, unet: NoisePredictor, condition: Tensor, voice: Tensor, generator: torch.Generator) -> Tensor:
        """The latents (1, 4, f, h, w) that inference would give for condition (1, c, f, h, w) and voice (f, n, d)."""


@dataclass(frozen=True)
class WindowSampling:
    """The sampler of inference, in windows of `window` frames."""

    conditioning: TrainedConditioning
    sampler: SamplerSettings
    window: int

    def sample(self, unet: NoisePredictor, condition: Tensor, voice: Tensor, generator: torch.Generator) -> Tensor:
        """As of `Objective.sample`, from noise of the generator."""
        frames = condition.shape[2]
        spans = [Window(start, start + self.window) for start in range(0, frames, self.window)]
        null = self.conditioning.learned_null(voice)
        inputs = TensorConditioning(self.conditioning.with_null(condition), voice, null)
        noise = shared_noise(condition.shape[-1], generator)
        return sample_clip(unet, noise, inputs, window_groups(spans), self.sampler, frames=frames)


@dataclass(frozen=True)
class Denoising:
    """Predict the noise of windows at random timesteps, some of them with conditions dropped (REFERENCE section 1).

    weights: (h, w) of errors in latents. sampling: for `sample`.
    """

    settings: LossConfig
    conditioning: TrainedConditioning
    dropout: ConditionDropout
    pictures: PictureLosses
    weights: Tensor
    schedule: DDIMSchedule
    sampling: WindowSampling

    def losses(self, batch: TrainingBatch, predict: Predict, generator: torch.Generator) -> dict[str, Tensor]:
        """Add noise, drop conditions, predict, and compare the noise."""
        count, device, settings = len(batch.target), batch.target.device, self.settings
        timesteps = draw_timesteps(count, generator)
        noise = mixed_noise(tuple(batch.target.shape), settings.noise_mix, generator).to(device)
        dropped = self.dropout.draw(count, generator)
        seen = noised_latents(batch.target, noise, timesteps.to(device), self.schedule, settings.from_noise, generator)
        condition, voice = self.conditioning.drop(batch.condition, batch.voice, dropped)
        predicted = predict(torch.cat([seen.noisy, condition], dim=1), seen.timesteps, voice)
        alphas = self.schedule.alphas_cumprod.to(device)[seen.timesteps]
        step_weight = step_weights(alphas, settings.min_snr)
        error = noise_loss(predicted, seen.noise, self.weights.to(device), step_weight)
        if not self.pictures.used:
            return {"loss": error, "noise": error}
        clean = predicted_latents(seen.noisy, predicted.float(), alphas)
        parts = self.pictures(clean, alphas, batch, generator)
        return {**parts, "loss": error + parts["loss"], "noise": error}

    def sample(self, unet: NoisePredictor, condition: Tensor, voice: Tensor, generator: torch.Generator) -> Tensor:
        """By the sampler of inference, from noise of the generator."""
        return self.sampling.sample(unet, condition, voice, generator)


@dataclass(frozen=True)
class OneStep:
    """Predict every frame's latents at once, from the hidden and the reference face alone (REFERENCE section 2).

    weights: (h, w) of errors in latents.
    """

    pictures: PictureLosses
    weights: Tensor

    def losses(self, batch: TrainingBatch, predict: Predict, generator: torch.Generator) -> dict[str, Tensor]:
        """Predict, and compare latents and pictures."""
        device = batch.target.device
        predicted = frames_alone(predict, batch.condition, batch.voice)
        error = latent_loss(predicted, batch.target, self.weights.to(device))
        if not self.pictures.used:
            return {"loss": error, "latent": error}
        parts = self.pictures(predicted.float(), torch.ones(len(predicted), device=device), batch, generator)
        return {**parts, "loss": error + parts["loss"], "latent": error}

    def sample(self, unet: NoisePredictor, condition: Tensor, voice: Tensor, generator: torch.Generator) -> Tensor:
        """By the single pass of inference; nothing is drawn."""
        latents = redraw_latents(unet, rearrange(condition, "1 c f h w -> f c h w"), voice)
        return rearrange(latents, "f c h w -> 1 c f h w")


def frames_alone(predict: Predict, condition: Tensor, voice: Tensor) -> Tensor:
    """One pass at timestep 0 in which no frame sees another: (b, 8, f, h, w), (b*f, n, d) -> (b, 4, f, h, w)."""
    frames = condition.shape[2]
    alone = rearrange(condition, "b c f h w -> (b f) c 1 h w")
    latents = predict(alone, torch.zeros(1, device=condition.device), voice)
    return rearrange(latents, "(b f) c 1 h w -> b c f h w", f=frames)
