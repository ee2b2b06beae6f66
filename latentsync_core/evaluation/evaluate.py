"""Evaluate one model: its scores for several guidance scales, beside the best and worst that the metrics can give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..generators.generator import Generator
from ..models.loading import Models
from ..pipeline.settings import Settings
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from .evaluation_clips import (
    DubbedClip,
    EvaluationClip,
    aligned_faces,
    evaluate_clip,
    measured_opening,
    other_openings,
    score_clip,
)
from .scores import Scores, average

TRUTH_ROW, SOURCE_ROW = "the drawn answer itself", "the source, not dubbed"
GRID_COLUMNS = 8  # frames


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of one model.

    rows: (name, mean scores over the clips). every: scores of every clip by row. curves: (clip, truth, generated) mouth
    opening of each clip at the first guidance. grid: see `sample_grid`, of the first clip.
    """

    rows: tuple[tuple[str, Scores], ...]
    every: dict[str, tuple[Scores, ...]]
    curves: tuple[tuple[str, np.ndarray, np.ndarray], ...]
    grid: np.ndarray


def evaluate_model(
    models: Models | Generator,
    clips: Sequence[EvaluationClip],
    ways: Mapping[str, Settings],
    folder: Path,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Evaluation:
    """Dub all clips in each of some ways, and score the results.

    Args:
        models: LatentSync's networks, or any generator.
        clips: evaluation clips.
        ways: settings of the pipeline by the name of their row.
        folder: for the dubbed clips.
        on_progress: counts dubbed clips.
        check_cancelled: as in `lipsync`.
    """
    first = next(iter(ways.values()))
    every = {
        TRUTH_ROW: score_rendered_clips(clips, "ground_truth", first),
        SOURCE_ROW: score_rendered_clips(clips, "source", first),
    }
    curves, grids, done = [], [], 0
    for name, chosen in ways.items():
        scores = []
        for clip in clips:
            dubbed = evaluate_clip(clip, models, chosen, folder, check_cancelled)
            scores.append(score_clip(clip, dubbed, other_openings(clips, clip)))
            if chosen is first:
                curves.append((clip.name, clip.ground_truth.opening, dubbed.opening))
                grids = grids or [sample_grid(clip, dubbed)]
            done += 1
            on_progress(done, len(ways) * len(clips))
        every[name] = tuple(scores)
    rows = tuple((name, average(scores)) for name, scores in every.items())
    return Evaluation(rows=rows, every=every, curves=tuple(curves), grid=grids[0])


def sample_grid(clip: EvaluationClip, dubbed: DubbedClip, count: int = GRID_COLUMNS) -> np.ndarray:
    """An image (3 CROP, count CROP, 3) uint8 of faces, ordered by the true opening from closed to wide open.

    Rows: the source, the dubbed clip, the ground truth.
    """
    truth = clip.ground_truth.frames
    frames = min(len(dubbed.frames), len(truth))
    order = np.argsort(clip.ground_truth.opening[:frames], kind="stable")
    picks = order[np.linspace(0, frames - 1, count).round().astype(int)]
    rows = aligned_faces(truth[:frames], clip.source.frames[:frames], dubbed.frames[:frames], truth[:frames])
    return np.concatenate([np.concatenate(list(faces[picks]), axis=1) for faces in rows])


def score_rendered_clips(clips: Sequence[EvaluationClip], which: str, settings: Settings) -> tuple[Scores, ...]:
    """Scores of the rendered clips themselves: "ground_truth", the best possible, or "source", the worst."""
    scores = []
    for clip in clips:
        frames = getattr(clip, which).frames
        borders = list(range(settings.window, len(frames), settings.window))
        dubbed = DubbedClip(frames, measured_opening(frames), borders)
        scores.append(score_clip(clip, dubbed, other_openings(clips, clip)))
    return tuple(scores)
