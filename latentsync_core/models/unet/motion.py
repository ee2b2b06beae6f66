"""Motion modules: temporal self-attention, at each pixel over the frames of a window (arXiv 2307.04725)."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from .attention import Attention, AttentionFunction, FeedForward
from .config import MotionModuleConfig

NORM_GROUPS = 32  # whatever the UNet's norm_num_groups says: that is how motion modules were published


def temporal_positions(max_frames: int, dim: int) -> Tensor:
    """Sinusoidal table (1, max_frames, dim) added to each pixel's sequence of frames."""
    table = torch.zeros(1, max_frames, dim)
    if table.is_meta:  # a shape is all that is asked for, and arithmetic there makes torch import its compiler
        return table
    position = torch.arange(max_frames, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    table[0, :, 0::2] = torch.sin(position * frequency)
    table[0, :, 1::2] = torch.cos(position * frequency)
    return table


class PositionTable(nn.Module):
    """Holds the table under the checkpoint's name `pe` and adds its first rows."""

    def __init__(self, max_frames: int, dim: int):
        super().__init__()
        self.register_buffer("pe", temporal_positions(max_frames, dim))

    def forward(self, x: Tensor) -> Tensor:
        # Cast here: under a host's partial loading a buffer may be on another device or in another dtype.
        return x + self.pe[:, : x.shape[1]].to(x)


class TemporalAttention(Attention):
    """Self-attention over frames with position encoding."""

    def __init__(self, dim: int, config: MotionModuleConfig, attention: AttentionFunction, ops, **factory_kwargs):
        super().__init__(dim, config.num_attention_heads, None, attention, ops, **factory_kwargs)
        self.pos_encoder = None
        if config.temporal_position_encoding:
            self.pos_encoder = PositionTable(config.temporal_position_encoding_max_len, dim)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.pos_encoder is None else self.pos_encoder(x))


class TemporalBlock(nn.Module):
    """Temporal self-attentions followed by a feed-forward, each as a normalised residual."""

    def __init__(self, dim: int, config: MotionModuleConfig, attention: AttentionFunction, ops, **factory_kwargs):
        super().__init__()
        count = len(config.attention_block_types)
        self.attention_blocks = nn.ModuleList(
            [TemporalAttention(dim, config, attention, ops, **factory_kwargs) for _ in range(count)]
        )
        self.norms = nn.ModuleList([ops.LayerNorm(dim, **factory_kwargs) for _ in range(count)])
        self.ff_norm = ops.LayerNorm(dim, **factory_kwargs)
        self.ff = FeedForward(dim, ops, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        for norm, attention_block in zip(self.norms, self.attention_blocks, strict=True):
            x = x + attention_block(norm(x))
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    """Temporal blocks between linear projections, as a residual on the feature maps."""

    def __init__(self, channels: int, config: MotionModuleConfig, attention: AttentionFunction, ops, **factory_kwargs):
        super().__init__()
        dim = channels // config.temporal_attention_dim_div
        self.norm = ops.GroupNorm(NORM_GROUPS, channels, eps=1e-6, **factory_kwargs)
        self.proj_in = ops.Linear(channels, dim, **factory_kwargs)
        self.transformer_blocks = nn.ModuleList(
            [TemporalBlock(dim, config, attention, ops, **factory_kwargs) for _ in range(config.num_transformer_block)]
        )
        self.proj_out = ops.Linear(dim, channels, **factory_kwargs)
        if config.zero_initialize:
            nn.init.zeros_(self.proj_out.weight)
            nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: (b*f, c, h, w)."""
        height, width = x.shape[2:]
        hidden = rearrange(self.norm(x), "(b f) c h w -> (b h w) f c", f=frames)
        hidden = self.proj_in(hidden)
        for block in self.transformer_blocks:
            hidden = block(hidden)
        hidden = self.proj_out(hidden)
        return x + rearrange(hidden, "(b h w) f c -> (b f) c h w", h=height, w=width)


class MotionModule(nn.Module):
    """The published checkpoints keep the transformer one name deeper than the blocks that call it."""

    def __init__(self, channels: int, config: MotionModuleConfig, attention: AttentionFunction, ops, **factory_kwargs):
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels, config, attention, ops, **factory_kwargs)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return self.temporal_transformer(x, frames)
