"""The interface of an audio encoder; `models.whisper` has the one that is used."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn


class AudioEncoder(Protocol):
    """Whisper's encoder as `models.whisper.WhisperEncoder` builds it.

    n_mels: rows of the spectrogram. n_ctx: steps per block of 30 s. layers, width: of what it returns for each step.
    conv1: its first layer, whose weight has the device and dtype of all. generator: "latentsync" or "musetalk", whose
    features it gives: for MuseTalk the last layer's went through the final norm, and blocks are filled with silence.
    """

    n_mels: int
    n_ctx: int
    layers: int
    width: int
    conv1: nn.Conv1d
    generator: str

    def __call__(self, mel: Tensor) -> Tensor:
        """(b, n_mels, 2 * n_ctx) log-mel -> (b, n_ctx, layers, width)."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Every weight by name, by which a cache distinguishes encoders."""
