"""BlazeFace, the face detector: a full-range and a short-range network (Bazarevsky et al., 2019, arXiv:1907.05047).

Both map an RGB picture in [-1, 1] to one row of 16 numbers and one score logit per anchor; detect.py decodes them.
The structure is that of MediaPipe's published graphs; convolutions carry their folded batch norms as biases.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

BOX_NUMBERS = 16  # centre x, y, width, height, then x, y of six keypoints


def pad_same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Zero-pad (b, c, h, w) as TensorFlow's SAME does: with stride 2 the odd pixel goes right and below."""
    total = kernel - stride
    before = total // 2
    return F.pad(x, (before, total - before, before, total - before))


class BlazeBlock(nn.Module):
    """Depthwise 3x3 and pointwise convolution with a residual; extra channels of the shortcut are zeros."""

    def __init__(self, channels: int, out_channels: int, activation: nn.Module, stride: int = 1, operations=nn):
        super().__init__()
        self.stride = stride
        self.extra_channels = out_channels - channels
        padding = 1 if stride == 1 else 0  # stride 2 pads on one side only, in forward
        self.depthwise = operations.Conv2d(channels, channels, 3, stride, padding, groups=channels)
        self.pointwise = operations.Conv2d(channels, out_channels, 1)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x
        if self.stride == 2:
            shortcut = F.max_pool2d(x, 2)
            x = pad_same(x, 3, 2)
        if self.extra_channels:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.extra_channels))
        return self.activation(shortcut + self.pointwise(self.depthwise(x)))


class ShortRangeBlazeFace(nn.Module):
    """Faces that fill much of the picture: (b, 3, 128, 128) -> boxes (b, 896, 16) and score logits (b, 896).

    Anchors: two on each cell of a 16x16 grid, then six on each cell of an 8x8 grid.
    """

    INPUT_SIZE = 128  # pixels

    def __init__(self, operations=nn):
        super().__init__()
        self.stem = operations.Conv2d(3, 24, 5, 2)
        widths = [24, 24, 28, (32, 2), 36, 42, (48, 2), 56, 64, 72, 80, 88]
        self.fine = _blaze_stage(widths, operations)
        self.fine_scores = operations.Conv2d(88, 2, 1)
        self.coarse = _blaze_stage([88, (96, 2), 96, 96, 96, 96], operations)
        self.coarse_scores = operations.Conv2d(96, 6, 1)
        self.fine_boxes = operations.Conv2d(88, 2 * BOX_NUMBERS, 1)
        self.coarse_boxes = operations.Conv2d(96, 6 * BOX_NUMBERS, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(F.relu(self.stem(pad_same(x, 5, 2))))  # (b, 88, 16, 16)
        coarse = self.coarse(fine)  # (b, 96, 8, 8)
        boxes = [_per_anchor(self.fine_boxes(fine), 2), _per_anchor(self.coarse_boxes(coarse), 6)]
        scores = [_per_anchor(self.fine_scores(fine), 2), _per_anchor(self.coarse_scores(coarse), 6)]
        return torch.cat(boxes, 1), torch.cat(scores, 1).squeeze(-1)


def _blaze_stage(widths: list, operations) -> nn.Sequential:
    """A chain of BlazeBlocks; a width is a channel count or (channel count, stride)."""
    blocks = []
    channels = widths[0]
    for width in widths[1:]:
        out_channels, stride = width if isinstance(width, tuple) else (width, 1)
        blocks.append(BlazeBlock(channels, out_channels, nn.ReLU(), stride, operations))
        channels = out_channels
    return nn.Sequential(*blocks)


def _per_anchor(x: torch.Tensor, anchors: int) -> torch.Tensor:
    return rearrange(x, "b (a n) h w -> b (h w a) n", a=anchors)


class SeparableConv(nn.Module):
    """Depthwise 3x3, then pointwise convolution; no activation between them."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1, operations=nn):
        super().__init__()
        self.depthwise = operations.Conv2d(channels, channels, 3, stride, 1, groups=channels)
        self.pointwise = operations.Conv2d(channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.depthwise(x))


class Bottleneck(nn.Module):
    """Two separable convolutions through fewer channels, with a residual."""

    def __init__(self, channels: int, hidden: int, operations=nn):
        super().__init__()
        self.squeeze = SeparableConv(channels, hidden, operations=operations)
        self.expand = SeparableConv(hidden, channels, operations=operations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.expand(F.relu(self.squeeze(x))))


class Downsample(nn.Module):
    """Halve the picture and change its channels through a narrow separable convolution."""

    def __init__(self, channels: int, hidden: int, out_channels: int, operations=nn):
        super().__init__()
        self.squeeze = SeparableConv(channels, hidden, 2, operations)
        self.expand = SeparableConv(hidden, out_channels, operations=operations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.expand(F.relu(self.squeeze(x))))


class PyramidLevel(nn.Module):
    """One level of the feature pyramid: downwards a stage, sideways a lateral convolution.

    `below` is the next coarser level (or None); its output, enlarged, joins the lateral one.
    """

    def __init__(self, stage: nn.Sequential, lateral: nn.Module, below: nn.Module | None, merge: nn.Sequential | None):
        super().__init__()
        self.stage = stage
        self.lateral = lateral
        self.below = below
        self.merge = merge

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stage(x)
        lateral = F.relu(self.lateral(x))
        if self.below is None:
            return lateral
        coarse = F.interpolate(self.below(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.merge(lateral + coarse)


class AnchorHead(nn.Module):
    """Numbers per cell of the 48x48 grid, computed for 2x2 cells at once: (b, c, 48, 48) -> (b, 2304, numbers)."""

    def __init__(self, channels: int, numbers: int, operations=nn):
        super().__init__()
        self.pointwise = operations.Conv2d(channels, 4 * numbers, 1)
        self.depthwise = operations.Conv2d(4 * numbers, 4 * numbers, 3, 2, 1, groups=4 * numbers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depthwise(self.pointwise(x))
        return rearrange(x, "b (dy dx n) h w -> b (h dy w dx) n", dy=2, dx=2)


class FullRangeBlazeFace(nn.Module):
    """Faces from near to a few metres away: (b, 3, 192, 192) -> boxes (b, 2304, 16) and score logits (b, 2304).

    Anchors: one on each cell of a 48x48 grid.
    """

    INPUT_SIZE = 192  # pixels

    def __init__(self, operations=nn):
        super().__init__()
        ops = operations

        def stage(first: nn.Module, channels: int, hidden: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(first, *(Bottleneck(channels, hidden, ops) for _ in range(blocks)))

        def merge(channels: int, hidden: int, blocks: int, out_channels: int | None = None) -> nn.Sequential:
            layers = [Bottleneck(channels, hidden, ops) for _ in range(blocks)]
            return nn.Sequential(*layers, *([ops.Conv2d(channels, out_channels, 1), nn.ReLU()] if out_channels else []))

        self.stem = stage(nn.Sequential(ops.Conv2d(3, 32, 3, 2, 1), nn.ReLU()), 32, 8, 2)  # 96x96
        level6 = PyramidLevel(stage(Downsample(192, 96, 384, ops), 384, 96, 3), ops.Conv2d(384, 96, 1), None, None)
        level12 = PyramidLevel(
            stage(Downsample(128, 48, 192, ops), 192, 48, 2), ops.Conv2d(192, 96, 1), level6, merge(96, 48, 2, 64)
        )
        level24 = PyramidLevel(
            stage(Downsample(64, 32, 128, ops), 128, 32, 2), ops.Conv2d(128, 64, 1), level12, merge(64, 32, 2, 48)
        )
        self.pyramid = PyramidLevel(
            stage(Downsample(32, 16, 64, ops), 64, 16, 2), ops.Conv2d(64, 48, 1), level24, merge(48, 24, 1)
        )
        self.scores = AnchorHead(48, 1, ops)
        self.boxes = AnchorHead(48, BOX_NUMBERS, ops)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.pyramid(self.stem(x))  # (b, 48, 48, 48)
        return self.boxes(features), self.scores(features).squeeze(-1)
