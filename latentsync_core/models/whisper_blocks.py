"""The layers of Whisper's audio encoder (arXiv 2212.04356), under the names of openai-whisper's files.

openai-whisper's own module for them imports its transcription, and with that a compiler.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST_PERIOD = 10_000  # time steps, of the slowest sinusoid over 2 pi


class SelfAttention(nn.Module):
    """Multi-head attention of every time step to every other; keys have no bias."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.n_head = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, width) -> (b, t, width)."""
        query, key, value = (
            project(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)  # (b, n_head, t, width / n_head)
            for project in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """Attention and a feed-forward network, each on its normalised input and added to it."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, width) -> (b, t, width)."""
        x = x + self.attn(self.attn_ln(x))
        return x + self.mlp(self.mlp_ln(x))


def sinusoids(steps: int, width: int) -> Tensor:
    """(steps, width) float32: sines, then cosines, of periods that grow geometrically."""
    table = torch.zeros(steps, width)
    if table.is_meta:  # a shape is all that is asked for, and arithmetic there makes torch import its compiler
        return table
    frequencies = torch.exp(-math.log(LONGEST_PERIOD) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(steps)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
