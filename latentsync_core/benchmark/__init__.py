"""Measurements on this machine: numbers to print, not tests."""

from .faces import StageTiming, measure_faces
from .memory import MemoryUse, measure_memory
from .seams import BorderEnergy, SeamGradient, measure_borders, measure_seams, open_video

__all__ = [
    "BorderEnergy",
    "MemoryUse",
    "SeamGradient",
    "StageTiming",
    "measure_borders",
    "measure_faces",
    "measure_memory",
    "measure_seams",
    "open_video",
]
