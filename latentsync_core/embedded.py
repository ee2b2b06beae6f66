"""The model that comes with the package: the real architecture, small enough to run anywhere without a download."""

from pathlib import Path

from diffusers import AutoencoderKL

from .audio import WhisperEncoder
from .seeded import seed_weights
from .unet import Checkpoint, UNet3DConditionModel, UNetConfig
from .vae import SD_SHAPE, AutoencoderCodec

EMBEDDED_NAME = "embedded untrained model (it shows the whole path, but paints noise for a mouth)"
RESOLUTION = 128  # pixels of the face crop
WHISPER_DIMS = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 48, "n_audio_head": 4, "n_audio_layer": 4}
UNET_SHAPE = {"block_out_channels": [32, 64, 64, 64], "layers_per_block": 1, "cross_attention_dim": 48}
VAE_SHAPE = {**SD_SHAPE, "block_out_channels": (16, 16, 32, 32), "layers_per_block": 1, "norm_num_groups": 8}


def embedded_unet() -> UNet3DConditionModel:
    """The UNet alone, float32 on the CPU, with its metadata."""
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(UNET_SHAPE)), prefix="embedded.unet.")
    unet.metadata = {"resolution": str(RESOLUTION), "position_encoding": "off"}
    return unet.requires_grad_(False)


def embedded_checkpoint() -> Checkpoint:
    """The UNet as if it had been read from a file."""
    unet = embedded_unet()
    return Checkpoint(Path(EMBEDDED_NAME), unet.state_dict(), unet.config, unet.metadata)


def embedded_models() -> tuple[UNet3DConditionModel, AutoencoderCodec, WhisperEncoder]:
    """UNet, VAE and Whisper encoder in float32 on the CPU, the same on every machine.

    Their weights are drawn from fixed seeds: every stage runs for real, but nobody has taught them to speak.
    """
    autoencoder = seed_weights(AutoencoderKL(**VAE_SHAPE), prefix="embedded.vae.")
    whisper = seed_weights(WhisperEncoder.from_dims(WHISPER_DIMS), prefix="embedded.whisper.")
    return embedded_unet(), AutoencoderCodec(autoencoder), whisper.requires_grad_(False)
