"""The audio tokens of a batch, of which the unconditional samples need none."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SampleTokens:
    """Audio tokens of the last samples of a batch; the first ones have none, which is the same as tokens of zeros.

    tokens: (v*f, n, d), each frame's, of the last v samples. batch: b, how many samples there are. frames: f, of each.
    """

    tokens: Tensor
    batch: int
    frames: int

    @property
    def rows(self) -> int:
        """b*f."""
        return self.batch * self.frames

    def of(self, samples: Sequence[int]) -> "SampleTokens":
        """Those of some samples, in ascending order."""
        without = self.batch - len(self.tokens) // self.frames
        rows = frame_rows([sample - without for sample in samples if sample >= without], self.frames)
        return SampleTokens(self.tokens[rows.to(self.tokens.device)], len(samples), self.frames)


def frame_rows(samples: Sequence[int], frames: int) -> Tensor:
    """The rows of (b*f, ...) that hold the frames of some samples: (len(samples)*f,)."""
    first = torch.tensor(samples, dtype=torch.long)[:, None] * frames
    return (first + torch.arange(frames)).flatten()
