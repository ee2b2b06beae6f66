"""What a mouth does while nobody speaks: shown as it was filmed, generated at rest, or generated as ever."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from .feature_file import Features, Keep, join_pieces


def put_to_rest(
    features: Features, silent: Callable[[], Iterable[Tensor]], gate: np.ndarray, keep: Keep = join_pieces
) -> Features:
    """Features (T, L, D) cross-faded to those of true silence where the gate (T,) in 0..1 is closed.

    silent: gives the pieces of silence, (T, L, D) together. keep: where the result goes.
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
