"""Presets of sampling: how much time a user gives for how much of the score; docs/SPEED.md has the measurements.

A preset is a set of values for options that exist by themselves; an option that is given goes before the preset's.
"""

from dataclasses import dataclass, replace
from typing import Any

from .errors import LatentSyncError
from .options import DEFAULT_GUIDANCE, Guidance
from .student import DISTILLED_SCALE, Student


@dataclass(frozen=True)
class Preset:
    """steps, solver, reuse, reuse_null, guidance: as of Settings. costs: time and loss as measured, for people."""

    steps: int
    reuse: int
    reuse_null: int
    costs: str
    solver: str = "ddim"
    guidance: float = DEFAULT_GUIDANCE

    def values(self) -> dict[str, Any]:
        """For `Settings(**values)` of the pipeline."""
        return {
            "steps": self.steps,
            "guidance": Guidance(self.guidance),
            "solver": self.solver,
            "reuse": self.reuse,
            "reuse_null": self.reuse_null,
        }


FAST = Preset(6, 3, 6, "6 steps, every third full, 0.12 of the time")
PRESETS = {
    "reference": Preset(20, 1, 1, "20 full steps, as in the paper"),
    "published": Preset(20, 3, 3, "20 steps, every third full, as the published scripts run, 0.41 of the time"),
    "balanced": Preset(10, 3, 6, "10 steps, every third full, 0.2 of the time"),
    "fast": FAST,
    "turbo": replace(FAST, costs="the few steps of a distilled student where there is one, else as fast"),
    "preview": Preset(4, 4, 4, "4 steps without guidance, 0.04 of the time, for a first look", guidance=1.0),
}
DEFAULT_PRESET = "reference"
STUDENT_PRESET = "turbo"  # takes a student where there is one
NO_STUDENT = "There is no student of this model, so that the preset turbo samples as fast does."


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises LatentSyncError for an unknown one."""
    if name not in PRESETS:
        raise LatentSyncError(f"Preset {name!r} is unknown; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def student_preset(student: Student) -> Preset:
    """The values that a student was trained for."""
    return Preset(student.steps, 1, 1, student.describe(), solver=student.solver, guidance=DISTILLED_SCALE)
