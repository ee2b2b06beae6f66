"""The configuration of a training run: one JSON or TOML file, read into frozen dataclasses; unknown keys are errors."""

import json
import math
import operator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..diffusion.conditioning import DEFAULT_DROPOUT, ConditionDropout
from ..errors import LatentSyncError
from ..options import DEFAULT_GUIDANCE, DEFAULT_STEPS, MAX_STEPS, POSITIONS, WINDOW_FRAMES
from ..student import Student
from .tables import from_dict, read_toml

TRAINED_GENERATORS = ("latentsync", "musetalk")
NULLS = ("zeros", "learned")
PRECISIONS = ("fp32", "bf16", "fp16")
TRAINABLE = ("all", "lora", "modules")
DISTILLATIONS = ("trajectory", "consistency")
DISTANCES = ("huber", "l2")
MOST_STUDENT_STEPS = 8
LORA_TARGETS = ("attn1.to_", "attn2.to_", "ff.net.")


@dataclass(frozen=True)
class DataConfig:
    """clips: folder of videos; a sound file of the same name replaces a video's own sound.

    cache: folder for what is computed once per clip (None = `cache` inside the run's folder). held_out: number of
    clips, the last by name, that are kept for sample grids and never trained on. alignment: as at inference.
    """

    clips: Path
    cache: Path | None = None
    held_out: int = 0
    alignment: str = "smooth"


@dataclass(frozen=True)
class ModelConfig:
    """checkpoint: the UNet to start from, a file or "embedded"; None trains from scratch with the config `unet`.

    generator: what the UNet belongs to: "latentsync" is trained to remove noise from windows of frames, "musetalk" to
    redraw every frame in one step.
    unet: entries of the UNet's config; beside a checkpoint those that add parts to it, newly initialised.
    vae, whisper: files; None = those that belong to the checkpoint. resolution: of the face crop in pixels, None = the
    checkpoint's. train: "all" weights, "lora" matrices, or "modules" whose names contain one of `modules`.
    lora: a file of the same rank and targets, whose matrices are trained further; None = new ones.
    """

    generator: str = "latentsync"
    checkpoint: str | None = None
    unet: dict = field(default_factory=dict)
    vae: Path | None = None
    whisper: Path | None = None
    resolution: int | None = None
    train: str = "all"
    modules: tuple[str, ...] = ()
    lora_rank: int = 16
    lora_alpha: float | None = None  # None = the rank
    lora_targets: tuple[str, ...] = LORA_TARGETS
    lora: Path | None = None


@dataclass(frozen=True)
class ConditioningConfig:
    """position_encoding: "auto" (as the checkpoint was trained), "on" or "off". null: "zeros" or "learned".

    drop_probability, drops: see `conditioning.ConditionDropout`.
    """

    position_encoding: str = "auto"
    null: str = "zeros"
    drop_probability: float = DEFAULT_DROPOUT
    drops: str = "audio"

    def __post_init__(self) -> None:
        require_choice("conditioning.position_encoding", self.position_encoding, POSITIONS)
        require_choice("conditioning.null", self.null, NULLS)
        self.dropout()

    def dropout(self) -> ConditionDropout:
        """`drop_probability` and `drops` as the conditioning module takes them."""
        return ConditionDropout(self.drop_probability, self.drops)


@dataclass(frozen=True)
class LossConfig:
    """noise_mix: 1 mixes half shared and half per-frame noise, 0 is per-frame only (arXiv 2305.10474).

    kept_weight: of the error where the mask keeps the pixels, 1 as the reference. min_snr: gamma of arXiv 2303.09556,
    None = unweighted. from_noise: share of windows whose input is pure noise, as sampling starts; 0 as the reference.
    pixel: weight of the lower face's error through the VAE, on `pixel_frames` frames of a window. sync: weight of
    StableSyncNet's loss, with its file in `syncnet`; needs clips at 25 frames per second.
    """

    noise_mix: float = 1.0
    kept_weight: float = 1.0
    min_snr: float | None = None
    from_noise: float = 0.0
    pixel: float = 0.0
    pixel_frames: int = 2
    sync: float = 0.0
    syncnet: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.from_noise <= 1:
            raise LatentSyncError(f"loss.from_noise is {self.from_noise}; a share of the windows, 0 to 1, is needed.")
        if self.sync and self.syncnet is None:
            raise LatentSyncError("loss.sync is above 0 but loss.syncnet names no file; give stable_syncnet.pt.")


@dataclass(frozen=True)
class DistillConfig:
    """A student of few steps, see `distillation`: its teacher is model.checkpoint.

    steps: of the student. method: "trajectory" or "consistency". guidance: of the teacher, folded into the student.
    teacher_steps: of the teacher's DDIM, a multiple of steps. start: of a trajectory's stretches, "student" (the
    student's own points, from pure noise) or "clips" (clips with noise added). distance: "huber" or "l2".
    """

    steps: int = 4
    method: str = "trajectory"
    guidance: float = DEFAULT_GUIDANCE
    teacher_steps: int = DEFAULT_STEPS
    start: str = "student"
    distance: str = "huber"

    def __post_init__(self) -> None:
        require_choice("distill.method", self.method, DISTILLATIONS)
        require_choice("distill.start", self.start, ("student", "clips"))
        require_choice("distill.distance", self.distance, DISTANCES)
        if not 1 <= self.steps <= MOST_STUDENT_STEPS:
            raise LatentSyncError(
                f"distill.steps is {self.steps}; 1 to {MOST_STUDENT_STEPS} are possible, 2 or 4 usual."
            )
        if self.teacher_steps < self.steps or self.teacher_steps % self.steps or self.teacher_steps > MAX_STEPS:
            raise LatentSyncError(
                f"distill.teacher_steps is {self.teacher_steps}; a multiple of distill.steps, {self.steps}, is needed, "
                f"at most {MAX_STEPS}."
            )
        if not 1 <= self.guidance < math.inf:
            raise LatentSyncError(f"distill.guidance is {self.guidance}; 1 (none) to 3 is usual.")

    def student(self) -> Student:
        """What the student's file records of how it samples."""
        return Student(self.steps, "ddim-trailing" if self.method == "trajectory" else "lcm", self.guidance)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (arXiv 1711.05101). batch: windows per step and process, in `accumulate` parts of equal size.

    warmup: steps until learning_rate is reached; decay: "constant", or "cosine" down to a tenth by the last step.
    precision: of the forward pass. ema: decay of the averaged weights that are saved, 0 = save the last ones.
    null_learning_rate: of a learned unconditional embedding (the null), None = that of all weights; it is warmed up and
    decays as that does.
    """

    steps: int = 10_000
    batch: int = 1
    accumulate: int = 1
    learning_rate: float = 1e-5
    warmup: int = 0
    decay: str = "constant"
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    precision: str = "fp32"
    gradient_checkpointing: bool = False
    ema: float = 0.999
    null_learning_rate: float | None = None

    def __post_init__(self) -> None:
        require_choice("optimizer.precision", self.precision, PRECISIONS)
        require_choice("optimizer.decay", self.decay, ("constant", "cosine"))
        if self.steps < 1 or self.batch < 1 or self.accumulate < 1 or self.batch % self.accumulate:
            raise LatentSyncError(
                f"optimizer: {self.steps} steps, batch {self.batch}, accumulate {self.accumulate}; all must be at "
                f"least 1, and the batch must divide by accumulate."
            )
        if self.null_learning_rate is not None and self.null_learning_rate <= 0:
            raise LatentSyncError(
                f"optimizer.null_learning_rate is {self.null_learning_rate}; a rate above 0 is needed, or none at all."
            )


@dataclass(frozen=True)
class WatchConfig:
    """How often, in steps, numbers are logged, samples drawn and checkpoints written; 0 = only at the end.

    strips: how many sample grids. sample_steps, guidance: of the sampler for them. keep: checkpoints left on disk.
    """

    log_every: int = 10
    sample_every: int = 500
    save_every: int = 500
    keep: int = 3
    strips: int = 2
    sample_steps: int = 20
    guidance: float = 1.5


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. output: folder for checkpoints, state, logs and sample grids. seed: of every random draw.

    distill: None trains on clips; else a student of few steps is trained on its teacher.
    """

    output: Path
    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    distill: DistillConfig | None = None
    seed: int = 0
    window: int = WINDOW_FRAMES
    device: str = "auto"

    def __post_init__(self) -> None:
        require_choice("model.train", self.model.train, TRAINABLE)
        require_choice("model.generator", self.model.generator, TRAINED_GENERATORS)
        if self.model.generator == "musetalk":
            self.refuse_denoising()
        if self.distill is not None:
            self.refuse_undistilled()
        if self.model.train == "modules" and not self.model.modules:
            raise LatentSyncError(
                'model.train is "modules" but model.modules names none; try ["attn2", "motion_modules"].'
            )
        if self.loss.sync and self.window != WINDOW_FRAMES:
            raise LatentSyncError(
                f"loss.sync is above 0 and the window has {self.window} frames; StableSyncNet takes {WINDOW_FRAMES}."
            )
        if self.optimizer.null_learning_rate is not None and self.conditioning.null != "learned":
            raise LatentSyncError(
                "optimizer.null_learning_rate is set, but no null is learned: set conditioning.null to learned, or "
                "leave it out."
            )
        if self.model.lora is not None and self.model.train != "lora":
            raise LatentSyncError(f'model.lora is given and model.train is {self.model.train!r}; "lora" is needed.')
        if self.model.train == "lora" and self.conditioning.null == "learned":
            raise LatentSyncError(
                "A LoRA file cannot carry a learned null: set conditioning.null to zeros, or model.train to modules."
            )

    def refuse_denoising(self) -> None:
        """LatentSyncError naming the settings that only a generator with noise and guidance has."""
        wrong = self.found_other(
            {
                "conditioning.drop_probability": 0.0,
                "conditioning.null": "zeros",
                "loss.from_noise": 0.0,
                "loss.min_snr": None,
            }
        )
        if self.distill is not None:
            raise LatentSyncError("distill is given, but MuseTalk takes a single step as it is: leave it out.")
        if wrong:
            raise LatentSyncError(
                f"{wrong}, but MuseTalk is trained without noise and used without guidance: set "
                f"conditioning.drop_probability to 0 and leave the others out."
            )

    def refuse_undistilled(self) -> None:
        """LatentSyncError naming the settings that a student, which learns from its teacher alone, has no use for."""
        if self.model.checkpoint is None or self.model.unet:
            raise LatentSyncError(
                "distill is given, but model.checkpoint names no teacher, or model.unet would change it: name the "
                "checkpoint that the student is to equal, and leave model.unet out."
            )
        wrong = self.found_other(
            {
                "conditioning.drop_probability": 0.0,
                "conditioning.null": "zeros",
                "loss.from_noise": 0.0,
                "loss.min_snr": None,
                "loss.noise_mix": 1.0,
                "loss.pixel": 0.0,
                "loss.sync": 0.0,
            }
        )
        if wrong:
            raise LatentSyncError(
                f"{wrong}, but a student learns from its teacher alone, from shared noise and without dropout: set "
                f"conditioning.drop_probability to 0 and leave the others out."
            )

    def found_other(self, expected: dict[str, Any]) -> str:
        """Those of some settings, by their dotted names, that have another value than expected, for an error."""
        found = {name: operator.attrgetter(name)(self) for name in expected}
        return "; ".join(f"{name} is {value!r}" for name, value in found.items() if value != expected[name])

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, paths as text."""
        return json.loads(json.dumps(asdict(self), default=str))


def read_config(path: Path | str) -> TrainConfig:
    """Read a config file, .json or .toml; relative paths in it are relative to the working directory.

    Raises LatentSyncError naming the file and the key that is unknown, missing or of the wrong kind.
    """
    path = Path(path)
    if not path.is_file():
        raise LatentSyncError(f"{path} does not exist; a training config (.toml or .json) is needed.")
    try:
        values = read_toml(path) if path.suffix == ".toml" else json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LatentSyncError(f"{path} is not readable as {path.suffix.lstrip('.') or 'JSON'}: {error}.") from error
    try:
        return from_dict(TrainConfig, values)
    except LatentSyncError as error:
        raise LatentSyncError(f"{path}: {error}") from error


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """LatentSyncError unless `value` is one of `choices`."""
    if value not in choices:
        raise LatentSyncError(f"{name} is {value!r}; choose one of {', '.join(choices)}.")
