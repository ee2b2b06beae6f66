"""Encode face pixels into latents and decode them: Stable Diffusion's autoencoder behind a small protocol."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import LatentSyncError
from .autoencoder import AutoencoderConfig, AutoencoderKL, Posterior
from .tensor_file import fits, read_tensors, refuse_more_layers, refusing_misfits

log = logging.getLogger(__name__)

LATENT_SCALE = 0.18215  # of Stable Diffusion 1.5; shift 0
SLICE_FRAMES = 4  # faces per call of the autoencoder: its activations, not its weights, take the memory
SD_SHAPE = {  # the names are those of diffusers' configuration
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "scaling_factor": LATENT_SCALE,
    "sample_size": 256,
}


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of a posterior over scaled latents: (f, 4, h / 8, w / 8) float32 each."""

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw latents; the noise comes from a CPU generator, so that it depends on the seed alone."""
        noise = torch.randn(self.mean.shape, generator=generator)
        return self.mean + self.std * noise.to(self.mean)


class LatentCodec(Protocol):
    """What the pipeline needs of a VAE; a host supplies its own."""

    def encode(self, pixels: Tensor) -> Moments:
        """(f, 3, h, w) in [-1, 1] -> scaled moments on the CPU."""

    def decode(self, latents: Tensor) -> Tensor:
        """(f, 4, h, w) scaled -> (f, 3, 8h, 8w) in [-1, 1], float32 on the CPU."""


class AutoencoderCodec:
    """The autoencoder, a few faces at a time.

    Group norms and attention act per image, so slicing only changes the peak memory. If half precision turns latents
    or pixels into NaN, that half of the autoencoder moves to float32 once, says so, and stays there. Encoder and
    decoder share nothing, so that one thread may encode while another decodes.
    """

    def __init__(self, autoencoder: AutoencoderKL, slice_frames: int = SLICE_FRAMES):
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.slice_frames = slice_frames
        self.encoding = Half(autoencoder.encoder, autoencoder.quant_conv)
        self.decoding = Half(autoencoder.post_quant_conv, autoencoder.decoder)

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Moments:
        """(f, 3, h, w) in [-1, 1] -> scaled moments on the CPU, float32."""
        scale = self.autoencoder.config.scaling_factor
        posteriors = [self.encoding.finite(self._encode, part) for part in pixels.split(self.slice_frames)]
        posterior = Posterior(*torch.cat(posteriors).chunk(2, dim=1))
        return Moments(posterior.mean * scale, posterior.std * scale)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """(f, 4, h, w) scaled -> (f, 3, 8h, 8w), float32 on the CPU, clamped to [-1, 1]."""
        unscaled = latents / self.autoencoder.config.scaling_factor
        parts = unscaled.split(self.slice_frames)
        return torch.cat([self.decoding.finite(self.autoencoder.decode, part) for part in parts]).clamp_(-1, 1)

    def _encode(self, pixels: Tensor) -> Tensor:
        posterior = self.autoencoder.encode(pixels)
        return torch.cat([posterior.mean, posterior.logvar], dim=1)


@dataclass(frozen=True)
class Half:
    """The encoder or the decoder of an autoencoder with its 1x1 convolution."""

    first: nn.Module
    second: nn.Module

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        return next(self.first.parameters()).dtype

    def float(self) -> None:
        """Move it to float32."""
        self.first.float()
        self.second.float()

    def finite(self, run: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
        """What `run` makes of a part, on the CPU; where half precision gives NaN, once more in float32, for good."""
        parameter = next(self.first.parameters())
        result = run(part.to(parameter))
        if not torch.isfinite(result).all() and self.dtype != torch.float32:
            log.warning("The VAE gave NaN in %s; it runs in float32 from here on.", self.dtype)
            self.float()
            result = run(part.to(parameter.device, torch.float32))
        if not torch.isfinite(result).all():
            raise LatentSyncError(
                "The VAE gives NaN even in float32; its file or the UNet's is damaged: download them again."
            )
        return result.float().cpu()


def load_vae(path: Path | str, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> AutoencoderKL:
    """Load a Stable Diffusion 1.5 VAE in diffusers' or the original naming, or a narrower one with its config.

    Raises LatentSyncError when the file is something else.
    """
    file = read_tensors(path)
    with refusing_misfits(file.path, "Stable Diffusion VAE"):
        shape = {**SD_SHAPE, **(file.mapping("config") or {})}
        state_dict = _diffusers_names(file.tensors, shape)
        refuse_more_layers(file, int(shape["layers_per_block"]))
        with torch.device("meta"):
            autoencoder = AutoencoderKL(AutoencoderConfig.from_dict(shape))
        expected = autoencoder.state_dict()
        misfits = [k for k in expected if k not in state_dict or not fits(state_dict[k], expected[k])]
        if misfits:
            raise LatentSyncError(
                f"{file.path} is no Stable Diffusion 1.5 VAE: {len(misfits)} of {len(expected)} tensors are missing or "
                f"of another shape ({', '.join(misfits[:3])}); sd-vae-ft-mse is the one LatentSync was trained with."
            )
        tensors = {name: state_dict[name].to(device=device, dtype=dtype or torch.float32) for name in expected}
        autoencoder.load_state_dict(tensors, assign=True)
    return autoencoder.eval().requires_grad_(False)


OLD_ATTENTION_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def _diffusers_names(tensors: dict[str, Tensor], shape: dict) -> dict[str, Tensor]:
    """Today's diffusers names for a file in the original naming, or in that of sd-vae-ft-mse as published."""
    prefix = "first_stage_model."
    if any(name.startswith(prefix) for name in tensors):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if "encoder.down.0.block.0.conv1.weight" in tensors:
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        tensors = convert_ldm_vae_checkpoint(dict(tensors), shape)
    renamed = {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        parent, _, leaf = module.rpartition(".")
        if ".attentions." in parent and leaf in OLD_ATTENTION_NAMES:
            name = f"{parent}.{OLD_ATTENTION_NAMES[leaf]}.{kind}"
        renamed[name] = tensor
    return renamed
