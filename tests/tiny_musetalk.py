"""A MuseTalk with random weights that is small enough to run, in a file as our trainer writes one."""

from pathlib import Path

from seeded import NARROW_UNET, seed_weights

from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig, save_unet

SIDE = 64  # pixels of the square, a quarter of the published one
SHAPE = {"in_channels": 8, "use_motion_module": False, "cross_attention_dim": 96, "sample_size": SIDE // 8}


def write_musetalk(path: Path) -> Path:
    """Write it; it goes with the embedded VAE and the embedded Whisper."""
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict({**NARROW_UNET, **SHAPE})), prefix="musetalk.")
    save_unet(unet, path, {"resolution": str(SIDE)})
    return path
