"""The evidence on one finished model: its marks beside what the measures can reach at all, for several guidances."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..diffusion import Guidance
from ..models.loading import Models
from ..pipeline.settings import Settings
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from .evaluation_clips import (
    Exam,
    Paper,
    aligned_faces,
    mark,
    measured_opening,
    sit_exam,
)
from .scores import Marks, average

ANSWER, SOURCE = "the drawn answer itself", "the source, not dubbed"
STRIP_FRAMES = 8


@dataclass(frozen=True, eq=False)
class Study:
    """rows: (what, mean marks over the exams). every: marks of every exam by row. curves: (exam, truth, generated) of
    each exam at the first guidance. strip: see `strip_of`, of the first exam.
    """

    rows: tuple[tuple[str, Marks], ...]
    every: dict[str, tuple[Marks, ...]]
    curves: tuple[tuple[str, np.ndarray, np.ndarray], ...]
    strip: np.ndarray


def study_model(
    models: Models,
    exams: Sequence[Exam],
    settings: Settings,
    guidances: Sequence[float],
    folder: Path,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Study:
    """Sit all exams at every guidance scale. folder: for the clips. on_progress counts sittings."""
    every = {ANSWER: mark_clips(exams, "answer", settings), SOURCE: mark_clips(exams, "source", settings)}
    curves, strips, done = [], [], 0
    for guidance in guidances:
        marks = []
        for exam in exams:
            paper = sit_exam(exam, models, replace(settings, guidance=Guidance(guidance)), folder, check_cancelled)
            marks.append(mark(exam, paper, truths_of_others(exams, exam)))
            if guidance == guidances[0]:
                curves.append((exam.name, exam.answer.opening, paper.opening))
                strips = strips or [strip_of(exam, paper)]
            done += 1
            on_progress(done, len(guidances) * len(exams))
        every[f"guidance {guidance:g}"] = tuple(marks)
    rows = tuple((name, average(marks)) for name, marks in every.items())
    return Study(rows, every, tuple(curves), strips[0])


def strip_of(exam: Exam, paper: Paper, count: int = STRIP_FRAMES) -> np.ndarray:
    """A picture (3 CROP, count CROP, 3) uint8 of faces from where the voice asks for a shut mouth to a wide open one.

    Rows: the source, the dubbed clip, the drawn answer.
    """
    frames = min(len(paper.frames), len(exam.answer.frames))
    order = np.argsort(exam.answer.opening[:frames], kind="stable")
    picks = order[np.linspace(0, frames - 1, count).round().astype(int)]
    clips = exam.source.frames, paper.frames, exam.answer.frames
    rows = aligned_faces(exam.answer.frames[:frames], *(clip[:frames] for clip in clips))
    return np.concatenate([np.concatenate(list(faces[picks]), axis=1) for faces in rows])


def mark_clips(exams: Sequence[Exam], which: str, settings: Settings) -> tuple[Marks, ...]:
    """Marks of the drawn clips themselves: "answer", the most that can be measured, or "source", the least."""
    marks = []
    for exam in exams:
        frames = getattr(exam, which).frames
        borders = list(range(settings.window, len(frames), settings.window))
        paper = Paper(frames, measured_opening(frames), borders)
        marks.append(mark(exam, paper, truths_of_others(exams, exam)))
    return tuple(marks)


def truths_of_others(exams: Sequence[Exam], exam: Exam) -> list[np.ndarray]:
    """What mouths do that speak the other exams' voices."""
    return [other.answer.opening for other in exams if other is not exam]
