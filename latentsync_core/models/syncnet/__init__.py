"""How well lips and voice agree."""

from .stable_syncnet import PUBLISHED, StableSyncNet, load_syncnet

__all__ = ["PUBLISHED", "StableSyncNet", "load_syncnet"]
