"""Evidence: does a model speak, and what of its training makes it: exams with known answers, measures, ablations."""

from .exam import Exam, make_exams, sit_exam
from .marks import Marks, average

__all__ = ["Exam", "Marks", "average", "make_exams", "sit_exam"]
