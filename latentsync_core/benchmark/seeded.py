"""Networks of the published shapes with drawn weights: what they compute is noise, what they cost is real."""

import torch
from diffusers import AutoencoderKL

from ..errors import LatentSyncError
from ..models.loading import DTYPES, Models, choose_device, choose_dtype
from ..models.unet import UNet3DConditionModel, UNetConfig
from ..models.vae import SD_SHAPE, AutoencoderCodec
from ..models.whisper import WhisperEncoder
from ..options import PUBLISHED_WIDTH

SEED = 0
NORM_GROUPS = 32  # of UNet and VAE: every width divides by it
UNET_WIDTHS = (1, 2, 4, 4)  # of the levels, in units of the first
VAE_WIDTHS = (1, 2, 4, 4)
VAE_SHARE = 128 / PUBLISHED_WIDTH  # the VAE's first width by the UNet's
WHISPER_TINY_DIMS = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 384, "n_audio_head": 6, "n_audio_layer": 4}


def seeded_models(width: int = PUBLISHED_WIDTH, device: str = "auto", precision: str = "auto") -> Models:
    """UNet, VAE and Whisper tiny with weights from a fixed seed, ready to run.

    width: channels of the UNet's first block, 320 as published; the VAE shrinks with it, Whisper stays.
    device, precision: as for `load_models`. Raises LatentSyncError for a width that GroupNorm cannot divide.
    """
    target = choose_device(device)
    dtype = choose_dtype(precision, target)
    unet = seeded_unet(width, target, dtype)
    vae_width = max(NORM_GROUPS, round(width * VAE_SHARE / NORM_GROUPS) * NORM_GROUPS)
    shape = {**SD_SHAPE, "block_out_channels": tuple(vae_width * level for level in VAE_WIDTHS)}
    autoencoder = draw_weights(AutoencoderKL(**shape))
    for parameter in autoencoder.parameters():  # diffusers warns of a cast of the whole network
        parameter.data = parameter.data.to(device=target, dtype=dtype)
    whisper = draw_weights(WhisperEncoder.from_dims(WHISPER_TINY_DIMS)).to(target)
    name = f"seeded weights, width {width}"
    sources = {"unet": name, "vae": name, "whisper": name, "device": str(target)}
    sources["precision"] = str(dtype).removeprefix("torch.")
    codec = AutoencoderCodec(autoencoder)
    return Models(unet=unet, codec=codec, whisper=whisper, device=target, sources=sources)


def seeded_unet(width: int, device: torch.device, dtype: torch.dtype = DTYPES["fp32"]) -> UNet3DConditionModel:
    """The published UNet's shape, `width` channels in its first block, with drawn weights, in eval mode."""
    if width < NORM_GROUPS or width % NORM_GROUPS:
        raise LatentSyncError(
            f"A UNet of width {width} was asked for; a multiple of {NORM_GROUPS} is needed, {PUBLISHED_WIDTH} is the "
            "published one's."
        )
    config = UNetConfig(block_out_channels=tuple(width * level for level in UNET_WIDTHS))
    return draw_weights(UNet3DConditionModel(config, device=device, dtype=dtype)).eval().requires_grad_(False)


@torch.no_grad()
def draw_weights(module: torch.nn.Module) -> torch.nn.Module:
    """Fill a network's parameters: matrices normal and scaled by their inputs, norms 1 and biases 0.

    Signals so keep their size through all layers, and no number becomes so small that a processor slows down.
    """
    generator = torch.Generator().manual_seed(SEED)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn / parameter[0].numel() ** 0.5)
    return module
