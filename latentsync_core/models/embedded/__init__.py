"""The model that comes with the package: the real architecture, trained by this package on renderings of one portrait.

It runs on any machine without a download and lip-syncs, but only this one face; the files' headers and `training.micro`
say how it was made.
"""

from pathlib import Path

import torch

from ..autoencoder import AutoencoderKL
from ..catalog import EMBEDDED_NAME
from ..mouth_predictor import MouthPredictor, load_mouth_predictor
from ..unet import Checkpoint, UNet3DConditionModel, load_unet, read_checkpoint
from ..vae import AutoencoderCodec, load_vae
from ..whisper import WhisperEncoder, load_whisper

__all__ = [
    "EMBEDDED_NAME",
    "embedded_checkpoint",
    "embedded_models",
    "embedded_mouth_predictor",
    "embedded_musetalk_unet",
    "embedded_unet",
    "embedded_vae",
    "embedded_whisper",
]
KNOWS = "knows"  # metadata key of these files only: what the model was trained on
FOLDER = Path(__file__).parent
UNET, MUSETALK, VAE, WHISPER, MOUTH = (
    FOLDER / f"{name}.safetensors" for name in ("unet", "musetalk", "vae", "whisper", "mouth")
)


def embedded_unet() -> UNet3DConditionModel:
    """The UNet alone, float32 on the CPU, with its metadata."""
    return load_unet(UNET, dtype=torch.float32)


def embedded_musetalk_unet() -> UNet3DConditionModel:
    """The UNet of the micro MuseTalk, float32 on the CPU, with its metadata; its VAE and Whisper are the same."""
    return load_unet(MUSETALK, dtype=torch.float32, generator="musetalk")


def embedded_checkpoint() -> Checkpoint:
    """The UNet's file, read."""
    return read_checkpoint(UNET)


def embedded_vae() -> AutoencoderKL:
    """The autoencoder alone, float32 on the CPU."""
    return load_vae(VAE)


def embedded_whisper(generator: str = "latentsync") -> WhisperEncoder:
    """The audio encoder alone, float32 on the CPU, with the features of one generator. It knows any voice."""
    return load_whisper(WHISPER, generator)


def embedded_mouth_predictor() -> MouthPredictor:
    """What reads opening, width and rounding of the mouth off `embedded_whisper`'s features."""
    return load_mouth_predictor(MOUTH)


def embedded_models() -> tuple[UNet3DConditionModel, AutoencoderCodec, WhisperEncoder]:
    """UNet, VAE and Whisper encoder in float32 on the CPU."""
    return embedded_unet(), AutoencoderCodec(embedded_vae()), embedded_whisper()
