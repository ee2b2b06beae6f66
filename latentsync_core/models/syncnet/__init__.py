"""How well lips and audio are synchronised: SyncNet v2 and StableSyncNet."""

from .stable_syncnet import PUBLISHED, StableSyncNet, load_syncnet
from .sync_net_v2 import PUBLISHED_V2, SyncNetV2, SyncNetV2Config, load_sync_net_v2

__all__ = [
    "PUBLISHED",
    "PUBLISHED_V2",
    "StableSyncNet",
    "SyncNetV2",
    "SyncNetV2Config",
    "load_sync_net_v2",
    "load_syncnet",
]
