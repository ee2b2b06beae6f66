"""Training: prepared clips, batches, losses, LoRA, and the loop that turns a config into a checkpoint."""

from .config import TrainConfig, from_dict, read_config
from .trainer import train

__all__ = ["TrainConfig", "from_dict", "read_config", "train"]
