"""Measurements on this machine: numbers to print, not tests."""

from .faces import measure_faces
from .memory import MemoryUse, measure_memory
from .seams import BorderEnergy, EdgeGradient, measure_blend_edges, measure_borders, open_video
from .seeded import seeded_models
from .stages import StageCost, StageCosts, measure_stages
from .timing import StageTiming

__all__ = [
    "BorderEnergy",
    "EdgeGradient",
    "MemoryUse",
    "StageCost",
    "StageCosts",
    "StageTiming",
    "measure_blend_edges",
    "measure_borders",
    "measure_faces",
    "measure_memory",
    "measure_stages",
    "open_video",
    "seeded_models",
]
