"""Convolutions of the UNet: frames are a batch of feature maps, and one norm pools over the frames of a window."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .config import UNetConfig


def pooled_norm(norm: nn.Module, x: Tensor, frames: int) -> Tensor:
    """Group-normalise (b*f, c, h, w) with statistics shared by all `frames` of a window, as LatentSync was trained.

    This ties the frames of a window together even without motion modules: padding a window changes every frame.
    """
    x = rearrange(x, "(b f) c h w -> b c f h w", f=frames)
    return rearrange(norm(x), "b c f h w -> (b f) c h w")


def normed_silu(norm: nn.Module, x: Tensor, frames: int) -> Tensor:
    """SiLU of `pooled_norm`, written over the normalised tensor unless a gradient needs it."""
    normed = pooled_norm(norm, x, frames)
    return F.silu(normed, inplace=not torch.is_grad_enabled())


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions with the time embedding added in between, plus the shortcut.

    Args:
        in_channels, out_channels: of the feature maps.
        config: the UNet's; it gives norm groups, their epsilon and the width of the time embedding.
        output_scale: divisor of the sum with the shortcut.
        ops: namespace with Linear, Conv2d and GroupNorm.
    """

    def __init__(
        self, in_channels: int, out_channels: int, config: UNetConfig, *, output_scale: float, ops, **factory_kwargs
    ):
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        time_dim = 4 * config.block_out_channels[0]
        self.output_scale = output_scale
        self.norm1 = ops.GroupNorm(groups, in_channels, eps=eps, **factory_kwargs)
        self.conv1 = ops.Conv2d(in_channels, out_channels, 3, padding=1, **factory_kwargs)
        self.time_emb_proj = ops.Linear(time_dim, out_channels, **factory_kwargs)
        self.norm2 = ops.GroupNorm(groups, out_channels, eps=eps, **factory_kwargs)
        self.conv2 = ops.Conv2d(out_channels, out_channels, 3, padding=1, **factory_kwargs)
        self.conv_shortcut = None
        if in_channels != out_channels:
            self.conv_shortcut = ops.Conv2d(in_channels, out_channels, 1, **factory_kwargs)

    def forward(self, x: Tensor, time_embedding: Tensor, frames: int) -> Tensor:
        """x: (b*f, c, h, w); time_embedding: (b, time_dim), already through SiLU, or (1, time_dim) for all samples."""
        hidden = self.conv1(normed_silu(self.norm1, x, frames))
        shift = self.time_emb_proj(time_embedding)
        if len(shift) > 1:
            shift = shift.repeat_interleave(frames, dim=0)  # (b*f, c)
        hidden = hidden + shift[:, :, None, None]
        hidden = self.conv2(normed_silu(self.norm2, hidden, frames))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return (x + hidden) / self.output_scale


class Downsample(nn.Module):
    """Halve height and width by a strided convolution."""

    def __init__(self, channels: int, padding: int, ops, **factory_kwargs):
        super().__init__()
        self.conv = ops.Conv2d(channels, channels, 3, stride=2, padding=padding, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Enlarge to `size` (h, w) by nearest neighbour, then convolve."""

    def __init__(self, channels: int, ops, **factory_kwargs):
        super().__init__()
        self.conv = ops.Conv2d(channels, channels, 3, padding=1, **factory_kwargs)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))
