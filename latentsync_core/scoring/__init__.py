"""How well lips and voice agree, how steady and how sharp: numbers and pictures for users."""

from .mfcc import mfcc
from .sync_confidence import SyncConfidence, sync_confidence

__all__ = ["SyncConfidence", "mfcc", "sync_confidence"]
