"""Ablations: which choice of conditioning makes a difference, by training with each of them and sitting the same exams.

Every cell is a whole training run of one budget; nothing differs between cells but what their names say and the seed.
Results are written cell by cell, so that a stopped ablation goes on where it was.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from ...diffusion import Guidance
from ...loading import Models
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ...settings import Settings
from ..config import TrainConfig
from ..trainer import train
from .exam import Exam, mark, sit_exam
from .marks import Marks, average

GUIDANCES = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Cell:
    """One way to train, and the ways to sample from what it gives.

    conditioning, loss: fields of the config that differ. guidances: scales to sit the exams with. positions: how audio
    positions are used in sampling.
    """

    name: str
    conditioning: dict = field(default_factory=dict)
    loss: dict = field(default_factory=dict)
    guidances: tuple[float, ...] = (1.5,)
    positions: tuple[str, ...] = ("auto",)


ABLATIONS: dict[str, tuple[Cell, ...]] = {
    # The asymmetry of MuseTalk is the cell "trained off, used on".
    "positions": (
        Cell("positions trained on", {"position_encoding": "on"}, positions=("on", "off")),
        Cell("positions trained off", {"position_encoding": "off"}, positions=("on", "off")),
    ),
    # That of LatentSync is p = 0 with guidance above 1.
    "dropout": tuple(
        Cell(f"audio dropped p = {p:g}", {"drop_probability": p}, guidances=GUIDANCES) for p in (0.0, 0.1, 0.2)
    ),
    "null": (Cell("null zeros", {"null": "zeros"}), Cell("null learned", {"null": "learned"})),
    "noise": (Cell("noise mixed", loss={"noise_mix": 1.0}), Cell("noise per frame", loss={"noise_mix": 0.0})),
}


@dataclass(frozen=True)
class Result:
    """What a trained cell came out at with one way of sampling: marks of every exam, and their mean."""

    ablation: str
    cell: str
    seed: int
    guidance: float
    position: str
    marks: tuple[Marks, ...]

    @property
    def mean(self) -> Marks:
        """Over the exams."""
        return average(self.marks)

    @property
    def label(self) -> str:
        """Cell and way of sampling, without the seed."""
        used = "" if self.position == "auto" else f", used {self.position}"
        return f"{self.cell}{used}, guidance {self.guidance:g}"

    def to_dict(self) -> dict:
        """For JSON."""
        return {**asdict(self), "marks": [asdict(m) for m in self.marks]}

    @classmethod
    def from_dict(cls, values: dict) -> "Result":
        """Back from JSON."""
        return cls(**{**values, "marks": tuple(Marks(**m) for m in values["marks"])})


def examine(
    models: Models,
    exams: Sequence[Exam],
    settings: Settings,
    folder: Path,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> tuple[Marks, ...]:
    """Sit all exams with one model and one way of sampling. on_progress counts exams."""
    marks = []
    for number, exam in enumerate(exams):
        paper = sit_exam(exam, models, settings, folder, check_cancelled)
        others = [other.answer.opening for other in exams if other is not exam]
        marks.append(mark(exam, paper, others))
        on_progress(number + 1, len(exams))
    return tuple(marks)


def run_ablations(
    base: TrainConfig,
    names: Sequence[str],
    seeds: Sequence[int],
    exams: Sequence[Exam],
    load: Callable[[Path, TrainConfig], Models],
    folder: Path,
    *,
    sample_steps: int = 20,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Iterator[Result]:
    """Train and examine every cell of the ablations `names` with every seed; yields results as they come.

    base: the run of which each cell is a variation. load: a trained checkpoint -> the models to examine. folder: for
    checkpoints and results; what is already there is not done again. on_progress counts steps of one training run.
    """
    for name in names:
        for cell in ABLATIONS[name]:
            for seed in seeds:
                config = vary(base, cell, seed, folder)
                record = config.output / "results.json"
                if not record.is_file():
                    checkpoint = train_cell(config, on_progress, check_cancelled)
                    models = load(checkpoint, config)
                    found = [
                        Result(name, cell.name, seed, guidance, position, marks)
                        for guidance, position, marks in examine_cell(
                            cell, models, exams, sample_steps, config.output, check_cancelled
                        )
                    ]
                    record.write_text(json.dumps([result.to_dict() for result in found], indent=1), encoding="utf-8")
                for values in json.loads(record.read_text(encoding="utf-8")):
                    yield Result.from_dict({**values, "ablation": name, "cell": cell.name})


def vary(base: TrainConfig, cell: Cell, seed: int, folder: Path) -> TrainConfig:
    """The base's config with the cell's differences; equal cells of different ablations share one run."""
    conditioning = replace(base.conditioning, **cell.conditioning)
    loss = replace(base.loss, **cell.loss)
    ways = "-".join(f"{scale:g}" for scale in cell.guidances) + "-" + "-".join(cell.positions)
    parts = (
        f"position-{conditioning.position_encoding}",
        f"null-{conditioning.null}",
        f"drop-{conditioning.drop_probability:g}",
        f"mix-{loss.noise_mix:g}",
        f"seed-{seed}",
        f"use-{ways}",
    )
    return replace(base, conditioning=conditioning, loss=loss, seed=seed, output=folder / "_".join(parts))


def train_cell(config: TrainConfig, on_progress: OnProgress, check_cancelled: CheckCancelled) -> Path:
    """Train one cell, or go on with it; returns its checkpoint."""
    resume = (config.output / "state.pt").exists()
    return train(config, resume=resume, on_progress=on_progress, check_cancelled=check_cancelled)


def examine_cell(
    cell: Cell,
    models: Models,
    exams: Sequence[Exam],
    sample_steps: int,
    folder: Path,
    check_cancelled: CheckCancelled,
) -> Iterator[tuple[float, str, tuple[Marks, ...]]]:
    """Sit the exams in each of the cell's ways of sampling."""
    for guidance in cell.guidances:
        for position in cell.positions:
            settings = Settings(steps=sample_steps, guidance=Guidance(guidance), position=position)
            yield guidance, position, examine(models, exams, settings, folder, check_cancelled=check_cancelled)


def across_seeds(results: Sequence[Result]) -> list[tuple[str, Marks, Marks]]:
    """For each label the mean over seeds of the exams' means, and the standard deviation between the seeds."""
    labels = list(dict.fromkeys(result.label for result in results))
    rows = []
    for label in labels:
        means = [result.mean for result in results if result.label == label]
        values = {f.name: np.array([getattr(mean, f.name) for mean in means], float) for f in fields(Marks)}
        spread = {name: float(v.std(ddof=1)) if len(v) > 1 else float("nan") for name, v in values.items()}
        rows.append((label, average(means), Marks(**spread)))
    return rows


def beyond_seed_noise(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two groups of values, one per seed, differ by more than seeds do: no value of one lies among the other's,
    and their means are further apart than twice the larger standard deviation.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    apart = a.max() < b.min() or b.max() < a.min()
    spread = max(a.std(ddof=1) if len(a) > 1 else 0.0, b.std(ddof=1) if len(b) > 1 else 0.0)
    return bool(apart and len(a) > 1 and len(b) > 1 and abs(a.mean() - b.mean()) > 2 * spread)
