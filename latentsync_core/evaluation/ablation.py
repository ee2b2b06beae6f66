"""Ablations: which choice of conditioning matters, by training with each of them and evaluating on the same clips.

Every cell is a whole training run with the same budget; cells differ in what their names say and in the seed alone.
Results are written cell by cell, so that an interrupted ablation can be resumed.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ..diffusion import Guidance
from ..errors import LatentSyncError
from ..generators.generator import Generator
from ..models.loading import Models
from ..options import DEFAULT_STEPS
from ..pipeline.settings import Settings
from ..progress import (
    Callbacks,
    CheckCancelled,
    never_cancelled,
)
from ..training.checkpointing import STATE_NAME
from ..training.config import TrainConfig
from ..training.trainer import train
from .evaluation_clips import EvaluationClip, evaluate_clip, other_openings, score_clip
from .scores import Scores, average

GUIDANCES = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Cell:
    """One training configuration, and the sampling configurations to evaluate it with.

    conditioning, loss, unet: fields of the config that differ. guidances: scales in sampling. positions: how audio
    positions are used in sampling.
    """

    name: str
    conditioning: dict = field(default_factory=dict)
    loss: dict = field(default_factory=dict)
    unet: dict = field(default_factory=dict)
    guidances: tuple[float, ...] = (1.5,)
    positions: tuple[str, ...] = ("auto",)


# Only a network that attends across frames can tell shared noise from independent noise.
MOTION = {"use_motion_module": True}
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
ONE_STEP_ABLATIONS = ("positions",)  # of a generator without noise and guidance


@dataclass(frozen=True)
class Result:
    """The scores of a trained cell with one sampling configuration, for every evaluation clip.

    guidance: None for a generator without.
    """

    ablation: str
    cell: str
    seed: int
    guidance: float | None
    position: str
    scores: tuple[Scores, ...]

    @property
    def mean(self) -> Scores:
        """Over the evaluation clips."""
        return average(self.scores)

    @property
    def configuration(self) -> tuple[str, float | None, str]:
        """All but the seed: cell, guidance, position."""
        return self.cell, self.guidance, self.position

    @property
    def label(self) -> str:
        """Cell and sampling configuration, without the seed."""
        used = "" if self.position == "auto" else f", used {self.position}"
        return f"{self.cell}{used}" if self.guidance is None else f"{self.cell}{used}, guidance {self.guidance:g}"

    def to_dict(self) -> dict:
        """For JSON, which has the scores under the key `marks`."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "scores"}
        return {**values, "marks": [scores.to_dict() for scores in self.scores]}


@dataclass(frozen=True)
class AblationPlan:
    """What to train and how to evaluate it.

    base: the run of which each cell is a variation. names: keys of ABLATIONS. seeds: one training run each.
    clips: evaluation clips. load: a trained checkpoint and its config -> what to evaluate. folder: for
    checkpoints and results; what is already there is not computed again. sample_steps: denoising steps. Raises
    LatentSyncError for an ablation that means nothing to the base's generator.
    """

    base: TrainConfig
    names: Sequence[str]
    seeds: Sequence[int]
    clips: Sequence[EvaluationClip]
    load: Callable[[Path, TrainConfig], Models | Generator]
    folder: Path
    sample_steps: int = DEFAULT_STEPS

    def __post_init__(self) -> None:
        without = sorted(set(self.names) - set(ONE_STEP_ABLATIONS))
        if self.base.model.generator == "musetalk" and without:
            raise LatentSyncError(
                f"MuseTalk is trained without noise and used without guidance, so that {', '.join(without)} cannot be "
                f"varied; pass --vary {' '.join(ONE_STEP_ABLATIONS)}."
            )

    def settings(self, cell: Cell) -> Iterator[tuple[float | None, Settings]]:
        """The guidance scale, None for a generator without, and the settings of every way to use a trained cell."""
        for guidance, position in itertools.product(cell.guidances, cell.positions):
            if self.base.model.generator == "musetalk":
                yield None, Settings(position=position)
            else:
                yield guidance, Settings(steps=self.sample_steps, guidance=Guidance(guidance), position=position)


def run_ablations(
    plan: AblationPlan,
    *,
    callbacks: Callbacks | None = None,
) -> Iterator[Result]:
    """Train and evaluate every cell with every seed; yields results as they come.

    callbacks: as for train, one run after the other.
    """
    callbacks = callbacks or Callbacks()
    for name in plan.names:
        for cell, seed in itertools.product(ABLATIONS[name], plan.seeds):
            config = vary(plan.base, cell, seed, plan.folder)
            checkpoint = train_cell(config, callbacks)
            models = plan.load(checkpoint, config)
            for guidance, settings in plan.settings(cell):
                scores = recorded_scores(models, plan.clips, settings, config.output, callbacks.check_cancelled)
                yield Result(name, cell.name, seed, guidance, settings.position, scores)


def vary(base: TrainConfig, cell: Cell, seed: int, folder: Path) -> TrainConfig:
    """The base's config with the cell's differences; equal cells of different ablations share one run."""
    conditioning = replace(base.conditioning, **cell.conditioning)
    loss = replace(base.loss, **cell.loss)
    model = replace(base.model, unet={**base.model.unet, **cell.unet})
    null_rate = base.optimizer.null_learning_rate if conditioning.null == "learned" else None
    optimizer = replace(base.optimizer, null_learning_rate=null_rate)
    parts = (
        f"position-{conditioning.position_encoding}",
        f"null-{conditioning.null}",
        f"drop-{conditioning.drop_probability:g}",
        f"mix-{loss.noise_mix:g}",
        *(f"{key}-{value}" for key, value in cell.unet.items()),
        f"seed-{seed}",
    )
    varied = {"conditioning": conditioning, "loss": loss, "model": model, "optimizer": optimizer}
    return replace(base, **varied, seed=seed, output=folder / "_".join(parts))


def train_cell(config: TrainConfig, callbacks: Callbacks) -> Path:
    """Train one cell, resume it, or find it finished; returns its checkpoint."""
    finished = config.output / f"unet-{config.optimizer.steps:07d}.safetensors"
    if finished.is_file():
        return finished
    resume = (config.output / STATE_NAME).exists()
    return train(config, resume=resume, callbacks=callbacks)


def recorded_scores(
    models: Models | Generator,
    clips: Sequence[EvaluationClip],
    settings: Settings,
    folder: Path,
    check_cancelled: CheckCancelled = never_cancelled,
) -> tuple[Scores, ...]:
    """The scores of every clip with one sampling configuration, from results.json in `folder` if they are there.

    Args:
        models: LatentSync's networks, or any generator.
        clips: evaluation clips.
        settings: steps, guidance and position of the sampling configuration.
        folder: of results.json, which new scores are added to, and of the dubbed clips.
        check_cancelled: as in `lipsync`.
    """
    configuration = f"guidance {settings.guidance.scale:g}, position {settings.position}, {settings.steps} steps, "
    key = configuration + ", ".join(clip.name for clip in clips)
    record = folder / "results.json"
    recorded = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if key not in recorded:
        scores = score_clips(models, clips, settings, folder, check_cancelled)
        recorded[key] = [each.to_dict() for each in scores]
        record.write_text(json.dumps(recorded, indent=1), encoding="utf-8")
    return tuple(map(Scores.from_dict, recorded[key]))


def score_clips(
    models: Models | Generator,
    clips: Sequence[EvaluationClip],
    settings: Settings,
    folder: Path,
    check_cancelled: CheckCancelled = never_cancelled,
) -> tuple[Scores, ...]:
    """The scores of one model with one sampling configuration on every clip.

    Args:
        models, clips, settings, folder, check_cancelled: as for `recorded_scores`.
    """
    scores = []
    for clip in clips:
        dubbed = evaluate_clip(clip, models, settings, folder, check_cancelled)
        scores.append(score_clip(clip, dubbed, other_openings(clips, clip)))
    return tuple(scores)
