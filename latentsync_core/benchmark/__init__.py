"""Measurements on this machine: numbers to print, not tests."""

from .faces import StageTiming, measure_faces
from .memory import MemoryUse, measure_memory
from .seams import BorderEnergy, EdgeGradient, measure_blend_edges, measure_borders, open_video

__all__ = [
    "BorderEnergy",
    "MemoryUse",
    "EdgeGradient",
    "StageTiming",
    "measure_borders",
    "measure_faces",
    "measure_memory",
    "measure_blend_edges",
    "open_video",
]
