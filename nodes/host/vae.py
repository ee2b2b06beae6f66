"""The host's VAE behind the library's protocol."""

import torch

from ...latentsync_core.errors import LatentSyncError

LATENT_SCALE = 0.18215  # of Stable Diffusion 1.5; the host's latents are unscaled


class HostCodec:
    """The host's VAE as the library's LatentCodec: its batching, tiling and memory management.

    Encoding gives the posterior's mean, as everywhere in the host; the reference draws a sample around it.
    """

    def __init__(self, vae):
        self.vae = vae

    def encode(self, pixels: torch.Tensor):
        """(f, 3, h, w) in [-1, 1] -> scaled moments on the CPU, without spread."""
        from ...latentsync_core.models.vae import Moments

        latents = self.vae.encode(pixels.movedim(1, -1) / 2 + 0.5).float().cpu() * LATENT_SCALE
        expected = (len(pixels), 4, pixels.shape[2] // 8, pixels.shape[3] // 8)
        if latents.shape != expected:
            raise LatentSyncError(
                f"The VAE gives latents of the shape {tuple(latents.shape)} instead of {expected}; a Stable Diffusion 1.5 "
                f"VAE is needed, best sd-vae-ft-mse."
            )
        return Moments(latents, torch.zeros_like(latents))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(f, 4, h, w) scaled -> (f, 3, 8h, 8w) in [-1, 1], float32 on the CPU."""
        images = self.vae.decode(latents / LATENT_SCALE)  # (f, 8h, 8w, 3) in 0..1
        return images.float().cpu().movedim(-1, 1) * 2 - 1
