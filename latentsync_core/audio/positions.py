"""Position encoding of a frame's audio tokens: one option, the same code in training and in sampling.

MuseTalk adds positions at inference to a network trained without them (REFERENCE section 2). Here a checkpoint records
how it was trained, and "auto" follows that.
"""

import torch
from torch import Tensor

from ..errors import LatentSyncError
from ..options import POSITIONS


def position_table(n: int, d: int) -> Tensor:
    """Sinusoidal table (n, d) float32: sin(p / 10000^(2j/d)) at even channels, cos at odd ones (arXiv 1706.03762)."""
    position = torch.arange(n, dtype=torch.float64)[:, None]
    angles = position / 10000 ** (torch.arange(0, d, 2, dtype=torch.float64) / d)  # (n, ceil(d / 2))
    table = torch.empty(n, d, dtype=torch.float64)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()[:, : d // 2]
    return table.float()


def encode_positions(tokens: Tensor, mode: str, trained: bool | str | None = None) -> Tensor:
    """Add the position table to the tokens of every frame, or leave them as they are.

    tokens: (frames, n, d). mode: "on", "off", or "auto" to do as the checkpoint was trained.
    trained: what the checkpoint records ("on", "off", True, False); None, as in every published LatentSync file,
    means off, because those were trained without. Raises LatentSyncError for another mode or record.
    """
    if not positions_wanted(mode, trained):
        return tokens
    n, d = tokens.shape[-2:]
    return tokens + position_table(n, d).to(tokens)


def positions_wanted(mode: str, trained: bool | str | None = None) -> bool:
    """Decide `mode` against the checkpoint's record, as `encode_positions` does."""
    if mode not in POSITIONS:
        raise LatentSyncError(f"Position encoding {mode!r} is unknown; choose one of {', '.join(POSITIONS)}.")
    if trained not in (None, True, False, "on", "off"):
        raise LatentSyncError(
            f"The checkpoint records position encoding {trained!r}; only on or off are known: pass on or off yourself."
        )
    return mode == "on" or (mode == "auto" and trained in (True, "on"))
