"""Evidence: does a model speak, and what of its training makes it: exams with known answers, measures, ablations."""

from .evaluation_clips import Exam, make_exams, sit_exam
from .scores import Marks, average

__all__ = ["Exam", "Marks", "average", "make_exams", "sit_exam"]
