"""A MODEL as the student of few steps that it is, or that the package has of it."""

import logging

import comfy.sd
import comfy.utils

from ...latentsync_core.models.embedded import KNOWS
from ...latentsync_core.models.students import EMBEDDED_STUDENT, recorded_student
from ...latentsync_core.student import Student
from .messages import show_in_node
from .native_model import require_native

log = logging.getLogger(__name__)


def as_student(patcher) -> tuple:
    """A MODEL, and the Student it is; None where there is no student of it.

    The embedded model gets the package's own LoRA. A student's LoRA that a stock loader put on a MODEL cannot be told:
    such loaders leave out what the file says of itself.
    """
    metadata = require_native(patcher).diffusion_model.metadata
    student = Student.recorded(metadata)
    if student is not None or KNOWS not in metadata or not EMBEDDED_STUDENT.is_file():
        return patcher, student
    patched, _ = comfy.sd.load_lora_for_models(
        patcher, None, comfy.utils.load_torch_file(str(EMBEDDED_STUDENT)), 1.0, 0.0
    )
    return patched, recorded_student(EMBEDDED_STUDENT)


def warn_of_other_sampling(patcher, steps: int, solver: str, scale: float) -> None:
    """Say in the node where a MODEL that is a student is to be sampled otherwise than it was trained for."""
    student = Student.recorded(require_native(patcher).diffusion_model.metadata)
    objection = student and student.objection(steps, solver, scale)
    if objection:
        log.warning(objection)
        show_in_node(f"{objection} The preset turbo samples as it was.")
