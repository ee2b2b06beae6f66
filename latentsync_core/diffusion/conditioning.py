"""The conditioning of a window, the same in training and sampling: positions, unconditional embedding and dropout.

The unconditional embedding takes the place of the audio tokens in the unconditional prediction of classifier-free
guidance; it is called the null for short, as in the checkpoints' metadata. Public systems differ between training and
sampling (REFERENCE sections 1 to 3): one adds positions only in sampling, another guides against a null it never
trained. Here a checkpoint records how it was conditioned, and the trainer, the pipeline and the nodes all build the
UNet's inputs through this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..audio.feature_file import Features
from ..audio.positions import positions_wanted
from ..audio.tokens import AudioTokens
from ..errors import LatentSyncError
from ..models.loading import Models
from ..options import DROPS

DEFAULT_DROPOUT = 0.1  # of arXiv 2207.12598, where 0.1 and 0.2 do best
REFERENCE_CHANNELS = slice(5, 9)  # of the nine conditioning channels: mask 1, masked face 4, reference 4


@dataclass(frozen=True)
class Dropped:
    """Which samples of a batch have a condition dropped in this step: (b,) bool each."""

    audio: Tensor
    reference: Tensor


@dataclass(frozen=True)
class ConditionDropout:
    """How training drops conditions, so that the unconditional prediction is trained too (arXiv 2207.12598).

    probability: of one Bernoulli draw per sample and step. drops: "audio" or "reference" alone; "jointly", one draw for
    both; or "separately", a draw for each. Raises LatentSyncError for another value or a probability outside 0..1.
    """

    probability: float = DEFAULT_DROPOUT
    drops: str = "audio"

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise LatentSyncError(
                f"The drop probability is {self.probability}; it must lie between 0 and 1, 0.1 is usual."
            )
        if self.drops not in DROPS:
            raise LatentSyncError(f"What to drop is {self.drops!r}; choose one of {', '.join(DROPS)}.")

    def draw(self, batch: int, generator: torch.Generator) -> Dropped:
        """Decide for `batch` samples; 0 never drops and 1 always does. generator: on the CPU.

        Two rows of numbers are drawn whatever `drops` is, so that it changes nothing else in a seeded run.
        """
        first, second = torch.rand(2, batch, generator=generator) < self.probability
        never = torch.zeros_like(first)
        return {
            "audio": Dropped(first, never),
            "reference": Dropped(never, first),
            "jointly": Dropped(first, first),
            "separately": Dropped(first, second),
        }[self.drops]


@dataclass(frozen=True)
class TrainedConditioning:
    """How a checkpoint was conditioned in training, and so has to be conditioned in sampling.

    positions: whether position encoding is added to the audio tokens.
    null_tokens: the unconditional embedding, (1, d) or (n, d), learned; None = zeros, as every published checkpoint.
    null_has_reference: False where audio and reference were dropped jointly: the unconditional prediction then has no
    reference face either.
    """

    positions: bool = False
    null_tokens: Tensor | None = None
    null_has_reference: bool = True

    @classmethod
    def of(cls, unet: Any, position: str = "auto") -> "TrainedConditioning":
        """As `unet` was trained: by its `metadata` and its learned `null_audio_tokens`, where it has them."""
        metadata, null_tokens = getattr(unet, "metadata", None) or {}, getattr(unet, "null_audio_tokens", None)
        return cls.recorded(metadata, null_tokens, position)

    @classmethod
    def recorded(
        cls, metadata: Mapping[str, Any], null_tokens: Tensor | None, position: str = "auto"
    ) -> "TrainedConditioning":
        """As a checkpoint's metadata says. position: "auto" follows it, "on" and "off" override it.

        Raises LatentSyncError for values it does not know, and where a learned null is recorded but missing.
        """
        positions = positions_wanted(position, metadata.get("position_encoding"))
        null = metadata.get("null", "zeros" if null_tokens is None else "learned")
        if null != ("zeros" if null_tokens is None else "learned"):
            found = "has no null_audio_tokens" if null_tokens is None else "has null_audio_tokens"
            raise LatentSyncError(
                f"The checkpoint records the null {null!r} but {found}; learned with them or zeros without them is "
                f"possible: save it again with its trainer."
            )
        dropped = metadata.get("dropped")
        if dropped not in (None, *DROPS):
            raise LatentSyncError(f"The checkpoint records that {dropped!r} was dropped; known are {', '.join(DROPS)}.")
        return cls(positions, null_tokens, dropped != "jointly")

    @classmethod
    def of_models(cls, models: Models, position: str = "auto") -> "TrainedConditioning":
        """As the UNet of `models` was trained; errors name its file."""
        try:
            return cls.of(models.unet, position)
        except LatentSyncError as error:
            raise LatentSyncError(f"{models.sources.get('unet', 'The UNet')}: {error}") from error

    def metadata(self, dropout: ConditionDropout) -> dict[str, str]:
        """What a checkpoint has to record, as `recorded` reads it back."""
        return {
            "position_encoding": "on" if self.positions else "off",
            "null": "zeros" if self.null_tokens is None else "learned",
            "dropped": dropout.drops,
            "drop_probability": str(dropout.probability),
        }

    def audio_tokens(self, features: Features, indices: Tensor) -> AudioTokens:
        """The tokens of frames that attend to the steps `indices` (frames, 10) of `features` (T, L, D)."""
        return AudioTokens(features, indices, self.positions)

    def null_like(self, voice: Tensor) -> Tensor:
        """The null in place of tokens (frames, n, d), in their dtype and device; gradients reach a learned one."""
        return null_like(voice, self.null_tokens)

    def learned_null(self, voice: Tensor) -> Tensor | None:
        """As `null_like` where a null was learned; None = zeros, which the UNet need not see."""
        return None if self.null_tokens is None else self.null_like(voice)

    def null_condition(self, condition: Tensor) -> Tensor:
        """The face condition of the unconditional prediction, (b, 9, f, h, w): the same, or without the reference."""
        return condition if self.null_has_reference else without_reference(condition)

    def with_null(self, condition: Tensor) -> Tensor:
        """condition (1, 9, f, h, w) for both predictions: one row, or two where they differ, unconditional first."""
        return condition if self.null_has_reference else torch.cat([without_reference(condition), condition])

    def drop(self, condition: Tensor, voice: Tensor, dropped: Dropped) -> tuple[Tensor, Tensor]:
        """Replace what was dropped: condition (b, 9, f, h, w) and voice (b*f, n, d) -> the same shapes.

        Kept rows are unchanged bit for bit, dropped rows equal the null exactly.
        """
        frames = len(voice) // len(condition)
        rows = dropped.audio.repeat_interleave(frames).to(voice.device)  # (b*f,)
        voice = torch.where(rows[:, None, None], self.null_like(voice), voice)
        without_face = dropped.reference.to(condition.device)[:, None, None, None, None]
        return torch.where(without_face, without_reference(condition), condition), voice


def null_like(voice: Tensor, null_tokens: Tensor | None) -> Tensor:
    """The unconditional embedding in place of tokens (frames, n, d): zeros, or `null_tokens`, expanded."""
    if null_tokens is None:
        return torch.zeros((), dtype=voice.dtype, device=voice.device).expand_as(voice)
    return null_tokens.to(voice).expand_as(voice)


def without_reference(condition: Tensor) -> Tensor:
    """condition (b, 9, f, h, w) with zeros for the reference's latents."""
    condition = condition.clone()
    condition[:, REFERENCE_CHANNELS] = 0
    return condition
