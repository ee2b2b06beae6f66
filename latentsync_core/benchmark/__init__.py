"""Measurements on this machine: numbers to print, not tests."""

from .faces import StageTiming, measure_faces
from .memory import MemoryUse, measure_memory

__all__ = ["MemoryUse", "StageTiming", "measure_faces", "measure_memory"]
