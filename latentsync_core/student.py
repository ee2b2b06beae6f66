"""How a few-step student samples: recorded in the metadata of its checkpoint or LoRA, obeyed by whoever loads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import LatentSyncError
from .options import check_steps

STEPS, SOLVER, GUIDANCE = "student_steps", "student_solver", "teacher_guidance"  # metadata keys
DISTILLED_SCALE = 1.0  # of a student's guidance: none, its teacher's is folded in


@dataclass(frozen=True)
class Student:
    """steps, solver: that it was trained for. guidance: its teacher's, which is folded into it."""

    steps: int
    solver: str
    guidance: float

    @classmethod
    def recorded(cls, metadata: Mapping[str, Any]) -> "Student | None":
        """As a file's metadata says; None where it is no student's.

        Raises LatentSyncError for values that cannot be.
        """
        if STEPS not in metadata:
            return None
        found = [metadata.get(key) for key in (STEPS, SOLVER, GUIDANCE)]
        try:
            student = cls(int(str(found[0])), str(found[1]), float(str(found[2])))
            check_steps(student.solver, student.steps)
        except (ValueError, LatentSyncError) as error:
            raise LatentSyncError(
                f"It records a student of {found[0]!r} steps by {found[1]!r}, its teacher guided by {found[2]!r}; two "
                f"numbers and a known solver are needed: save it again with its trainer."
            ) from error
        return student

    def metadata(self) -> dict[str, str]:
        """What its file has to record, as `recorded` reads it back."""
        return {STEPS: str(self.steps), SOLVER: self.solver, GUIDANCE: f"{self.guidance:g}"}

    def describe(self) -> str:
        """How it samples and why, for a log."""
        return (
            f"a student of {self.steps} steps by {self.solver}, without guidance: its teacher's, {self.guidance:g}, is "
            f"folded in"
        )

    def objection(self, steps: int, solver: str, scale: float) -> str | None:
        """A sentence on how such sampling differs from what it was trained for; None where it does not."""
        if (steps, solver) == (self.steps, self.solver) and scale <= DISTILLED_SCALE:
            return None
        return (
            f"This model is {self.describe()}; {steps} steps by {solver} with a guidance of {scale:g} were asked for, "
            f"which it was not trained for."
        )
