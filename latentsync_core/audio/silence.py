"""What a mouth does while nobody speaks: shown as it was filmed, generated at rest, or generated as ever."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..choices import SILENCES
from ..errors import LatentSyncError


def check_silence(mode: str, blend: str) -> None:
    """Refuse a way to treat silence that is unknown, or that the blend cannot show. Raises LatentSyncError."""
    if mode not in SILENCES:
        raise LatentSyncError(f"Silence {mode!r} is unknown; choose one of {', '.join(SILENCES)}.")
    if mode == "keep" and blend != "mouth":
        raise LatentSyncError(
            f"Silence 'keep' fades to the filmed mouth, which the {blend} blend cannot; "
            "choose the mouth blend, or silence 'rest'."
        )


def put_to_rest(features: Tensor, silent: Callable[[], Tensor], gate: np.ndarray) -> Tensor:
    """Features (T, L, D) cross-faded to those of true silence, `silent()`, where the gate (T,) in 0..1 is closed."""
    if gate.min(initial=1.0) == 1.0:
        return features
    share = torch.from_numpy(np.asarray(gate, np.float32))[:, None, None]  # (T, 1, 1)
    return torch.lerp(silent(), features, share)
