"""VAE objects of the host: its own loader's for files, and the embedded autoencoder in the host's clothes.

The host builds Stable Diffusion's autoencoder in its published width only and fixes its group norms to 32 groups, so
the embedded one, which is narrower, comes as a network of the library inside an ordinary `comfy.sd.VAE`.
"""

from pathlib import Path

import comfy.model_patcher
import comfy.sd
import torch
from comfy.taesd.taesd import TAESD

from ...latentsync_core.models.autoencoder import AutoencoderKL
from ...latentsync_core.models.embedded import embedded_vae
from ...latentsync_core.models.tensor_file import refusing_misfits


def file_vae(name: str) -> comfy.sd.VAE:
    """What the host's own Load VAE gives for one of its files. Raises LatentSyncError for a file that is no VAE."""
    from nodes import VAELoader  # ComfyUI's module of that name

    with refusing_misfits(Path(name), "VAE"):
        return VAELoader().load_vae(name)[0]


class HostAutoencoder(torch.nn.Module):
    """The library's autoencoder as `comfy.sd.VAE` calls its networks: pixels in [-1, 1], unscaled latents, no spread."""

    def __init__(self, autoencoder: AutoencoderKL):
        super().__init__()
        self.autoencoder = autoencoder

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """(f, 3, h, w) -> the posterior's mean, (f, 4, h / 8, w / 8)."""
        return self.autoencoder.encode(pixels).mean

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(f, 4, h, w) -> (f, 3, 8h, 8w), not yet clamped."""
        return self.autoencoder.decode(latents)


def embedded_as_host_vae() -> comfy.sd.VAE:
    """The embedded VAE for every node that takes a VAE: batching, tiling and memory management are the host's.

    The host sets a VAE up around a network that it recognises; TAESD, the smallest for the same latents, holds the
    place until ours takes it. Ours has none of the host's operations, so it is loaded as a whole or not at all.
    """
    vae = comfy.sd.VAE(sd=TAESD().state_dict(), dtype=torch.float32)
    vae.first_stage_model = HostAutoencoder(embedded_vae()).to(vae.patcher.offload_device)
    vae.patcher = comfy.model_patcher.ModelPatcher(
        vae.first_stage_model, load_device=vae.device, offload_device=vae.patcher.offload_device
    )
    vae.disable_offload = True
    vae.size = None  # of the network before
    vae.model_size()
    return vae


def is_embedded(vae) -> bool:
    """Whether a VAE is the embedded one."""
    return isinstance(getattr(vae, "first_stage_model", None), HostAutoencoder)
