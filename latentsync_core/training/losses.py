"""The losses of a training step: on noise or latents, and optionally on the regenerated pixels and on lip sync."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..models.autoencoder import AutoencoderKL
from ..models.syncnet import StableSyncNet

SYNCNET_SIZE = 256  # pixels, of the crop whose lower half StableSyncNet takes
SYNCNET_FRAMES = 16
SYNCNET_FPS = 25


def latent_weights(mask: Tensor, kept_weight: float) -> Tensor:
    """Weights (h, w), 1 on average, of errors in latents.

    Args:
        mask: (h, w), 1 = kept.
        kept_weight: where the pixels are kept; 1 weights all equally, as the reference.
    """
    weights = torch.where(mask > 0.5, kept_weight, 1.0)
    return weights / weights.mean()


def noise_loss(predicted: Tensor, noise: Tensor, weights: Tensor, step_weights: Tensor) -> Tensor:
    """Mean squared error of the noise prediction, each window weighted by its timestep.

    Args:
        predicted, noise: (b, 4, f, h, w).
        weights: (h, w), of `latent_weights`.
        step_weights: (b,).
    """
    error = (predicted.float() - noise).square() * weights
    return (error.mean(dim=(1, 2, 3, 4)) * step_weights).mean()


def latent_loss(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute error of predicted latents; arguments as of `noise_loss`."""
    return ((predicted.float() - target).abs() * weights).mean()


def step_weights(alphas: Tensor, gamma: float | None) -> Tensor:
    """min(SNR, gamma) / SNR for noise prediction (arXiv 2303.09556): (b,), ones without a gamma."""
    if gamma is None:
        return torch.ones_like(alphas)
    snr = alphas / (1 - alphas)
    return snr.clamp(max=gamma) / snr


def decode_with_gradient(autoencoder: AutoencoderKL, latents: Tensor) -> Tensor:
    """Scaled latents (n, 4, h, w) -> pixels (n, 3, 8h, 8w), differentiable, in the autoencoder's dtype."""
    unscaled = latents / autoencoder.config.scaling_factor
    return autoencoder.decode(unscaled.to(autoencoder.dtype)).float()


@dataclass(frozen=True)
class PixelLoss:
    """Mean absolute error over the regenerated pixels of a few frames of every window, through the VAE.

    A clean picture can hardly be predicted from a very noisy one, so a window is weighted by its share of signal.
    mask: (r, r), 1 = kept. frames: of every window.
    """

    autoencoder: AutoencoderKL
    mask: Tensor
    frames: int

    def __call__(self, clean: Tensor, crops: Tensor, alphas: Tensor, generator: torch.Generator) -> Tensor:
        """clean (b, 4, f, h, w): predicted latents; crops (b, f, r, r, 3) uint8; alphas (b,). generator: on the CPU."""
        picks = torch.randperm(clean.shape[2], generator=generator)[: self.frames].to(clean.device)
        latents = rearrange(clean[:, :, picks], "b c f h w -> (b f) c h w")
        truth = rearrange(crops[:, picks], "b f h w c -> (b f) c h w").float() / 127.5 - 1
        redrawn = 1 - self.mask.to(clean.device)  # (r, r)
        error = (decode_with_gradient(self.autoencoder, latents) - truth).abs().mean(1) * redrawn  # (b*f, r, r)
        per_frame = error.sum(dim=(1, 2)) / redrawn.sum()
        return (rearrange(per_frame, "(b f) -> b f", b=len(alphas)).mean(1) * alphas).mean()


@dataclass(frozen=True)
class SyncLoss:
    """1 - cosine similarity of lips and audio by StableSyncNet, each window weighted by its share of signal."""

    autoencoder: AutoencoderKL
    syncnet: StableSyncNet

    def __call__(self, clean: Tensor, mel: Tensor, alphas: Tensor) -> Tensor:
        """clean (b, 4, 16, h, w): predicted latents of 16 frames at 25 per second; mel (b, 1, 80, 52); alphas (b,)."""
        latents = rearrange(clean[:, :, :SYNCNET_FRAMES], "b c f h w -> (b f) c h w")
        pictures = decode_with_gradient(self.autoencoder, latents)
        if pictures.shape[-1] != SYNCNET_SIZE:
            size = (SYNCNET_SIZE, SYNCNET_SIZE)
            pictures = F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False)
        lower = pictures[:, :, SYNCNET_SIZE // 2 :]
        vision, audio = self.syncnet(rearrange(lower, "(b f) c h w -> b (f c) h w", b=len(mel)), mel)
        return ((1 - F.cosine_similarity(vision, audio)) * alphas).mean()


@dataclass(frozen=True)
class PictureLosses:
    """The losses on what predicted latents look like, each with its weight in the sum; None = not used."""

    pixel: PixelLoss | None = None
    pixel_weight: float = 0.0
    sync: SyncLoss | None = None
    sync_weight: float = 0.0

    @property
    def used(self) -> bool:
        """Whether there is any, so that batches have to carry crops and mel."""
        return self.pixel is not None or self.sync is not None

    def __call__(self, clean: Tensor, alphas: Tensor, batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Every loss by name, unweighted, and "loss", their weighted sum.

        Args:
            clean: predicted latents, (b, 4, f, h, w).
            alphas: (b,), the share of signal that each window was predicted from; 1 where there is no noise.
            batch: the `TrainingBatch`.
            generator: on the CPU, for the frames that the pixel loss decodes.
        """
        parts = {}
        total = clean.new_zeros(())
        if self.pixel is not None:
            parts["pixel"] = self.pixel(clean, batch.crops, alphas, generator)
            total = total + self.pixel_weight * parts["pixel"]
        if self.sync is not None:
            parts["sync"] = self.sync(clean, batch.mel, alphas)
            total = total + self.sync_weight * parts["sync"]
        return {"loss": total, **parts}
