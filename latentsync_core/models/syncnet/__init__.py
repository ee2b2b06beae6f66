"""StableSyncNet: how well lips and audio are synchronised."""

from .stable_syncnet import PUBLISHED, StableSyncNet, load_syncnet

__all__ = ["PUBLISHED", "StableSyncNet", "load_syncnet"]
