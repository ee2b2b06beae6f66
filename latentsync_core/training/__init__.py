"""Training: prepared clips, batches, losses, LoRA, and the training loop."""

from .config import TrainConfig, read_config
from .tables import from_dict
from .trainer import train

__all__ = ["TrainConfig", "from_dict", "read_config", "train"]
