"""StableSyncNet: whether sixteen frames of a mouth and an interval of audio are in sync.

Two encoders of the same design embed frames and audio as unit vectors; their cosine similarity above 0.5 means in sync
(REFERENCE section 1, "Sync networks").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...errors import LatentSyncError
from ..tensor_file import fits, read_tensors, refusing_misfits
from ..unet.attention import Attention, FeedForward, scaled_dot_product

GROUPS, EPS, HEADS = 32, 1e-6, 8
Factor = int | tuple[int, int]


@dataclass(frozen=True)
class EncoderConfig:
    """Widths and strides of one encoder. downsample_factors: one stride or (rows, columns) per block; 1 = none."""

    in_channels: int
    block_out_channels: tuple[int, ...]
    downsample_factors: tuple[Factor, ...]
    attn_blocks: tuple[int, ...]  # 1 where attention follows the block

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EncoderConfig":
        """Read the published form; its `dropout` is 0 and has no weights."""
        factors = tuple(tuple(f) if isinstance(f, Sequence) else int(f) for f in values["downsample_factors"])
        channels, attention = tuple(values["block_out_channels"]), tuple(values["attn_blocks"])
        if not len(channels) == len(factors) == len(attention):
            raise LatentSyncError(
                f"SyncNet config lists {len(channels)} channel counts, {len(factors)} factors and {len(attention)} "
                f"attention flags; the three must be equally long."
            )
        return cls(int(values["in_channels"]), channels, factors, attention)


PUBLISHED = {
    "audio_encoder": {
        "in_channels": 1,
        "block_out_channels": (32, 64, 128, 256, 512, 1024, 2048),
        "downsample_factors": ((2, 1), 2, 2, 1, 2, 2, (2, 3)),
        "attn_blocks": (0, 0, 0, 1, 1, 0, 0),
    },
    "visual_encoder": {
        "in_channels": 48,
        "block_out_channels": (64, 128, 256, 256, 512, 1024, 2048, 2048),
        "downsample_factors": ((1, 2), 2, 2, 2, 2, 2, 2, 2),
        "attn_blocks": (0, 0, 0, 0, 1, 1, 0, 0),
    },
}


class DownBlock(nn.Module):
    """A residual pair of normalised convolutions, then a strided one."""

    def __init__(self, in_channels: int, out_channels: int, factor: Factor):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, in_channels, eps=EPS)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels, eps=EPS)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None
        self.downsample_conv = None
        if factor != 1:
            rows, columns = factor if isinstance(factor, tuple) else (factor, factor)
            self.downsample_conv = nn.Conv2d(out_channels, out_channels, 3, stride=(rows, columns))
            # One pixel right and below, as the stride needs; on both sides along an axis that is not reduced.
            self.pad = (int(columns == 1), 1, int(rows == 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        hidden = hidden + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        if self.downsample_conv is None:
            return hidden
        return self.downsample_conv(F.pad(hidden, self.pad))


class AttentionBlock(nn.Module):
    """Self-attention and feed-forward over all pixels between 1x1 convolutions, as a residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels, eps=EPS)
        self.conv_in = nn.Conv2d(channels, channels, 1)
        self.norm2 = nn.LayerNorm(channels)
        self.attn = Attention(channels, HEADS, None, scaled_dot_product, nn, qkv_bias=True)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, nn)
        self.conv_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        hidden = rearrange(self.conv_in(self.norm1(x)), "b c h w -> b (h w) c")
        hidden = hidden + self.attn(self.norm2(hidden))
        hidden = hidden + self.ff(self.norm3(hidden))
        return x + self.conv_out(rearrange(hidden, "b (h w) c -> b c h w", h=height))


class Encoder(nn.Module):
    """(b, in_channels, h, w) -> (b, c) for the input size it was designed for, which the strides reduce to 1 x 1."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        widths = (config.block_out_channels[0], *config.block_out_channels)
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for index, factor in enumerate(config.downsample_factors):
            self.down_blocks.append(DownBlock(widths[index], widths[index + 1], factor))
            if config.attn_blocks[index]:
                self.down_blocks.append(AttentionBlock(widths[index + 1]))
        self.norm_out = nn.GroupNorm(GROUPS, widths[-1], eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return F.relu(self.norm_out(x)).flatten(1)


class StableSyncNet(nn.Module):
    """Embeds lips and audio as unit vectors whose cosine similarity, 0..1, says how well they are in sync.

    config: {"audio_encoder": ..., "visual_encoder": ...} as published; PUBLISHED is LatentSync's.
    """

    def __init__(self, config: Mapping[str, Mapping[str, Any]] = PUBLISHED):
        super().__init__()
        self.audio_encoder = Encoder(EncoderConfig.from_dict(config["audio_encoder"]))
        self.visual_encoder = Encoder(EncoderConfig.from_dict(config["visual_encoder"]))

    def forward(self, video: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """video: (b, 48, 128, 256), 16 RGB frames of the lower half of a 256-pixel crop, in [-1, 1].

        mel: (b, 1, 80, 52), mel spectrogram at 16 kHz in [-4, 4]. Returns vision and audio, (b, c) each, of length 1.
        """
        return F.normalize(self.visual_encoder(video), dim=1), F.normalize(self.audio_encoder(mel), dim=1)


def load_syncnet(path: Path | str, device: torch.device | str = "cpu") -> StableSyncNet:
    """Load the published stable_syncnet.pt, or a narrower one with its config, in eval mode and float32.

    Raises LatentSyncError when the file is something else.
    """
    file = read_tensors(path)
    with refusing_misfits(file.path, "StableSyncNet"):
        with torch.device("meta"):
            model = StableSyncNet(file.mapping("config") or PUBLISHED)
        expected = model.state_dict()
        misfits = [k for k in expected if k not in file.tensors or not fits(file.tensors[k], expected[k])]
        if misfits:
            raise LatentSyncError(
                f"{file.path} is no StableSyncNet: {len(misfits)} of {len(expected)} tensors are missing or of another "
                f"shape ({', '.join(misfits[:3])}); stable_syncnet.pt (1.6 GB) is needed."
            )
        model.load_state_dict({name: file.tensors[name] for name in expected}, assign=True)
    return model.float().to(device).eval().requires_grad_(False)
