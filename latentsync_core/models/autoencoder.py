"""Stable Diffusion's autoencoder: pixels to a Gaussian posterior over latents an eighth as wide and high, and back.

Tensor names and numbers are those of diffusers' AutoencoderKL, so that its files load. Importing diffusers, with the
compiler and the statistics that it brings along, takes longer than everything else a run imports together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6
LOGVAR_RANGE = (-30.0, 20.0)  # beyond which a posterior's variance is no number any more
BLOCK_TYPES = {"down_block_types": "DownEncoderBlock2D", "up_block_types": "UpDecoderBlock2D"}


@dataclass(frozen=True)
class AutoencoderConfig:
    """The shape of an autoencoder.

    in_channels, out_channels: of the pixels. latent_channels: of the latents. block_out_channels: widths, from pixels
    to latents, halving the resolution in between. layers_per_block: residual blocks at each width (one more in the
    decoder). norm_num_groups: of every group norm. scaling_factor: from the encoder's latents to those of unit
    variance. sample_size: pixels it was trained at; nothing depends on it.
    """

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    scaling_factor: float = 0.18215
    sample_size: int = 256

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "AutoencoderConfig":
        """The shape diffusers' `config` describes. Raises ValueError or TypeError for one that cannot be built."""
        fields = {name: value for name, value in config.items() if name not in BLOCK_TYPES}
        widths = tuple(int(width) for width in fields.pop("block_out_channels", cls.block_out_channels))
        for name, kind in BLOCK_TYPES.items():
            found = tuple(config.get(name, (kind,) * len(widths)))
            if found != (kind,) * len(widths):
                raise ValueError(f"{name} is {found}, {len(widths)} times {kind} was expected")
        return cls(block_out_channels=widths, **fields)


@dataclass(frozen=True)
class Posterior:
    """A Gaussian over latents: mean and logvar, (f, 4, h / 8, w / 8) each, unscaled."""

    mean: Tensor
    logvar: Tensor

    @property
    def std(self) -> Tensor:
        """The standard deviation."""
        return torch.exp(0.5 * self.logvar)

    def sample(self) -> Tensor:
        """Draw latents by torch's own generator, differentiable in both parameters."""
        return self.mean + self.std * torch.randn_like(self.mean)

    def kl(self) -> Tensor:
        """(f,): the Kullback-Leibler divergence from the unit Gaussian, summed over each picture (arXiv 1312.6114)."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).sum(dim=(1, 2, 3))


class AutoencoderKL(nn.Module):
    """Encoder and decoder with the 1x1 convolutions next to the latents (arXiv 2112.10752)."""

    def __init__(self, config: AutoencoderConfig | None = None):
        super().__init__()
        self.config = config or AutoencoderConfig()
        channels = self.config.latent_channels
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.post_quant_conv = nn.Conv2d(channels, channels, 1)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.quant_conv.weight.dtype

    def encode(self, pixels: Tensor) -> Posterior:
        """(f, 3, h, w) in [-1, 1], h and w multiples of 8 -> the posterior over unscaled latents."""
        mean, logvar = self.quant_conv(self.encoder(pixels)).chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(*LOGVAR_RANGE))

    def decode(self, latents: Tensor) -> Tensor:
        """(f, 4, h, w), unscaled -> (f, 3, 8h, 8w), not clamped."""
        return self.decoder(self.post_quant_conv(latents))


class Encoder(nn.Module):
    """(f, 3, h, w) -> (f, 8, h / 8, w / 8): mean and logvar before the 1x1 convolution."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownBlock(before, after, config, shrink=level < len(widths) - 1)
            for level, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False))
        )
        self.mid_block = MidBlock(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """(f, 4, h, w) -> (f, 3, 8h, 8w)."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], groups)
        self.up_blocks = nn.ModuleList(
            UpBlock(before, after, config, enlarge=level < len(widths) - 1)
            for level, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False))
        )
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class DownBlock(nn.Module):
    """Residual blocks, then half the size but in the last one."""

    def __init__(self, in_channels: int, out_channels: int, config: AutoencoderConfig, shrink: bool):
        super().__init__()
        self.resnets = resnets(in_channels, out_channels, config.layers_per_block, config.norm_num_groups)
        self.downsamplers = nn.ModuleList([Downsample(out_channels)] if shrink else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers):
            x = layer(x)
        return x


class UpBlock(nn.Module):
    """Residual blocks, one more than in the encoder, then twice the size but in the last one."""

    def __init__(self, in_channels: int, out_channels: int, config: AutoencoderConfig, enlarge: bool):
        super().__init__()
        self.resnets = resnets(in_channels, out_channels, config.layers_per_block + 1, config.norm_num_groups)
        self.upsamplers = nn.ModuleList([Upsample(out_channels)] if enlarge else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class MidBlock(nn.Module):
    """A residual block, self-attention over all places, a residual block."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.attentions = nn.ModuleList([Attention(channels, groups)])
        self.resnets = resnets(channels, channels, 2, groups)

    def forward(self, x: Tensor) -> Tensor:
        first, last = self.resnets
        return last(self.attentions[0](first(x)))


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions and the shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=NORM_EPS)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=NORM_EPS)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + hidden


class Attention(nn.Module):
    """Self-attention with a single head over the places of a feature map."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=NORM_EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.group_norm(x.flatten(2)).transpose(1, 2)  # (f, h * w, c)
        query, key, value = (project(tokens)[:, None] for project in (self.to_q, self.to_k, self.to_v))
        mixed = F.scaled_dot_product_attention(query, key, value)[:, 0]
        return self.to_out[0](mixed).transpose(1, 2).reshape(x.shape) + x


class Downsample(nn.Module):
    """Halve height and width by a strided convolution, padded at the right and the bottom only."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double height and width by nearest neighbour, then convolve."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def resnets(in_channels: int, out_channels: int, count: int, groups: int) -> nn.ModuleList:
    """`count` residual blocks, the first of which changes the number of channels."""
    return nn.ModuleList(
        ResnetBlock(out_channels if number else in_channels, out_channels, groups) for number in range(count)
    )
