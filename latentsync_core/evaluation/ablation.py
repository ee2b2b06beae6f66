"""Ablations: which choice of conditioning makes a difference, by training with each of them and sitting the same exams.

Every cell is a whole training run of one budget; nothing differs between cells but what their names say and the seed.
Results are written cell by cell, so that a stopped ablation goes on where it was.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..diffusion import Guidance
from ..models.loading import Models
from ..pipeline.settings import Settings
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from ..training.checkpointing import STATE_NAME
from ..training.config import TrainConfig
from ..training.trainer import train
from .evaluation_clips import Exam, mark, sit_exam
from .scores import Marks, average

GUIDANCES = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Cell:
    """One way to train, and the ways to sample from what it gives.

    conditioning, loss, unet: fields of the config that differ. guidances: scales to sit the exams with. positions: how
    audio positions are used in sampling.
    """

    name: str
    conditioning: dict = field(default_factory=dict)
    loss: dict = field(default_factory=dict)
    unet: dict = field(default_factory=dict)
    guidances: tuple[float, ...] = (1.5,)
    positions: tuple[str, ...] = ("auto",)


MOTION = {"use_motion_module": True}  # only frames that see one another can tell shared noise from their own
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
    "null": tuple(Cell(f"null {null}", {"null": null}, guidances=(1.5, 3.0)) for null in ("zeros", "learned")),
    "noise": (
        Cell("noise shared", loss={"noise_mix": 10.0}, unet=MOTION),
        Cell("noise mixed half and half", loss={"noise_mix": 1.0}, unet=MOTION),
    ),
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
    def way(self) -> tuple[str, float, str]:
        """All but the seed: cell, guidance, position."""
        return self.cell, self.guidance, self.position

    @property
    def label(self) -> str:
        """Cell and way of sampling, without the seed."""
        used = "" if self.position == "auto" else f", used {self.position}"
        return f"{self.cell}{used}, guidance {self.guidance:g}"

    def to_dict(self) -> dict:
        """For JSON."""
        return {**asdict(self), "marks": [marks.to_dict() for marks in self.marks]}


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
                checkpoint = train_cell(config, on_progress, check_cancelled)
                models = load(checkpoint, config)
                for guidance, position in itertools.product(cell.guidances, cell.positions):
                    marks = examined(models, guidance, position, exams, sample_steps, config.output, check_cancelled)
                    yield Result(name, cell.name, seed, guidance, position, marks)


def vary(base: TrainConfig, cell: Cell, seed: int, folder: Path) -> TrainConfig:
    """The base's config with the cell's differences; equal cells of different ablations share one run."""
    conditioning = replace(base.conditioning, **cell.conditioning)
    loss = replace(base.loss, **cell.loss)
    model = replace(base.model, unet={**base.model.unet, **cell.unet})
    parts = (
        f"position-{conditioning.position_encoding}",
        f"null-{conditioning.null}",
        f"drop-{conditioning.drop_probability:g}",
        f"mix-{loss.noise_mix:g}",
        *(f"{key}-{value}" for key, value in cell.unet.items()),
        f"seed-{seed}",
    )
    return replace(base, conditioning=conditioning, loss=loss, model=model, seed=seed, output=folder / "_".join(parts))


def train_cell(config: TrainConfig, on_progress: OnProgress, check_cancelled: CheckCancelled) -> Path:
    """Train one cell, go on with it, or find it finished; returns its checkpoint."""
    finished = config.output / f"unet-{config.optimizer.steps:07d}.safetensors"
    if finished.is_file():
        return finished
    resume = (config.output / STATE_NAME).exists()
    return train(config, resume=resume, on_progress=on_progress, check_cancelled=check_cancelled)


def examined(
    models: Models,
    guidance: float,
    position: str,
    exams: Sequence[Exam],
    steps: int,
    folder: Path,
    check_cancelled: CheckCancelled,
) -> tuple[Marks, ...]:
    """Marks of every exam in one way of sampling: those kept in `folder`, or else taken now and kept there."""
    asked = f"guidance {guidance:g}, position {position}, {steps} steps, " + ", ".join(exam.name for exam in exams)
    record = folder / "results.json"
    kept = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if asked not in kept:
        settings = Settings(steps=steps, guidance=Guidance(guidance), position=position)
        marks = examine(models, exams, settings, folder, check_cancelled=check_cancelled)
        kept[asked] = [each.to_dict() for each in marks]
        record.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return tuple(map(Marks.from_dict, kept[asked]))
