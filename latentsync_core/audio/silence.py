"""The mouth in silence, for the option `silence` = "rest": features cross-faded to those of digital silence."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from .feature_file import Features, Keep, join_pieces


def put_to_rest(
    features: Features, silent: Callable[[], Iterable[Tensor]], gate: np.ndarray, keep: Keep = join_pieces
) -> Features:
    """Features (T, L, D) cross-faded to those of digital silence where the gate (T,) in 0..1 is closed.

    silent: gives the features of silence in pieces, (T, L, D) together. keep: where the result is stored.
    """
    if gate.min(initial=1.0) == 1.0:
        return features
    return keep(rested(features, silent(), torch.from_numpy(np.asarray(gate, np.float32))))


def rested(features: Features, silent: Iterable[Tensor], gate: Tensor) -> Iterator[Tensor]:
    """The same piece by piece."""
    start = 0
    for silence in silent:
        part = slice(start, start + len(silence))
        yield torch.lerp(silence, features[part], gate[part][:, None, None])
        start = part.stop
