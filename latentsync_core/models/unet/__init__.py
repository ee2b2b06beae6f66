"""The 3D UNet and its checkpoints."""

from .checkpoint import Checkpoint, load_unet, read_checkpoint, save_unet
from .config import MotionModuleConfig, UNetConfig
from .lora_file import merge_lora
from .model import UNet3DConditionModel
from .reuse import DeepFeatures

__all__ = [
    "Checkpoint",
    "DeepFeatures",
    "MotionModuleConfig",
    "UNet3DConditionModel",
    "UNetConfig",
    "load_unet",
    "merge_lora",
    "read_checkpoint",
    "save_unet",
]
