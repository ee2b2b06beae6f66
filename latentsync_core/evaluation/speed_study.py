"""What ways of sampling cost and lose: one model, the same clips, several settings, seconds and scores of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..generators.generator import Generator
from ..models.loading import Models
from ..pipeline.settings import Settings
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..scoring.picture import psnr
from .evaluation_clips import DubbedClip, EvaluationClip, evaluate_clip, lower_faces, other_openings, score_clip
from .scores import Scores, average

HEADINGS = ("", "time", "correlation", "lost", "range", "flicker", "likeness, dB")
MOST_LIKENESS = 99.0  # dB, of equal pictures


@dataclass(frozen=True)
class SpeedRow:
    """One way of sampling.

    time: of denoising, over the first way's. scores: means over the clips. lost: correlation less than the first way's,
    mean and standard error over the clips. likeness: PSNR in dB of the mouths against the first way's own.
    """

    name: str
    time: float
    scores: Scores
    lost: float
    lost_error: float
    likeness: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which knows neither NaN nor infinity."""
        numbers = {name: round(value, 4) for name, value in vars(self).items() if isinstance(value, float)}
        return {"name": self.name, **numbers, "scores": self.scores.to_dict()}


def study_speed(
    models: Models | Generator,
    clips: Sequence[EvaluationClip],
    ways: Mapping[str, Settings],
    folder: Path,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> list[SpeedRow]:
    """Dub every clip in every way, clip by clip, so that a busy machine slows all ways alike.

    Args:
        models: LatentSync's networks, or any generator.
        clips: evaluation clips, whose voices no training knows.
        ways: settings by name; the first is what the others are compared with.
        folder: for the dubbed clips.
        on_progress: counts dubbed clips.
        check_cancelled: as in `lipsync`.
    """
    dubbed: dict[str, list[DubbedClip]] = {name: [] for name in ways}
    for number, clip in enumerate(clips):
        for place, name in enumerate(sorted(ways) if number % 2 else ways):
            dubbed[name].append(evaluate_clip(clip, models, ways[name], folder, check_cancelled))
            on_progress(number * len(ways) + place + 1, len(clips) * len(ways))
    first = next(iter(ways))
    scores = {name: scores_of(clips, dubbed[name]) for name in ways}
    return [speed_row(name, clips, dubbed, scores, first) for name in ways]


def scores_of(clips: Sequence[EvaluationClip], dubbed: Sequence[DubbedClip]) -> list[Scores]:
    """The scores of every clip, dubbed in one way."""
    return [score_clip(clip, one, other_openings(clips, clip)) for clip, one in zip(clips, dubbed, strict=True)]


def speed_row(
    name: str,
    clips: Sequence[EvaluationClip],
    dubbed: Mapping[str, Sequence[DubbedClip]],
    scores: Mapping[str, Sequence[Scores]],
    first: str,
) -> SpeedRow:
    """What one way costs and loses. first: the way that the others are compared with."""
    lost = np.array([a.correlation - b.correlation for a, b in zip(scores[first], scores[name], strict=True)])
    likeness = [likeness_of(*three) for three in zip(clips, dubbed[name], dubbed[first], strict=True)]
    return SpeedRow(
        name=name,
        time=sum(clip.sampling_seconds for clip in dubbed[name]) / sum(clip.sampling_seconds for clip in dubbed[first]),
        scores=average(scores[name]),
        lost=float(lost.mean()),
        lost_error=float(lost.std() / np.sqrt(len(lost))),
        likeness=float(np.mean(likeness)),
    )


def likeness_of(clip: EvaluationClip, one: DubbedClip, other: DubbedClip) -> float:
    """PSNR in dB of the redrawn regions of two dubbed clips."""
    return min(psnr(*lower_faces(clip.ground_truth.frames[: len(one.frames)], one.frames, other.frames)), MOST_LIKENESS)


def speed_table(rows: Sequence[SpeedRow]) -> str:
    """A Markdown table, a row per way of sampling."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    for row in rows:
        scores = row.scores
        numbers = (
            f"{row.time:.2f}",
            f"{scores.correlation:.3f}",
            f"{row.lost:+.3f} ± {row.lost_error:.3f}",
            f"{scores.opening_range:.2f}",
            f"{scores.flicker:.2f}",
            "-" if row.likeness >= MOST_LIKENESS else f"{row.likeness:.1f}",
        )
        lines.append(f"| {row.name} | {' | '.join(numbers)} |")
    return "\n".join(lines)
