"""Training: prepared clips, batches, losses, LoRA, and the training loop."""

from .config import TrainConfig, from_dict, read_config
from .trainer import train

__all__ = ["TrainConfig", "from_dict", "read_config", "train"]
