"""FaceMesh, the landmark network: 468 points of a face and how surely there is one.

Source: Kartynnik et al., 2019, arXiv:1907.06724; the structure is that of MediaPipe's published graph.
"""

import torch
from einops import rearrange
from torch import nn

from .blazeface import BlazeBlock, pad_same

MESH_POINTS = 468


class FaceMesh(nn.Module):
    """Upright face crops (b, 3, 192, 192) in [0, 1] -> points (b, 468, 3) in crop pixels and face logits (b,).

    x and y count from the crop's upper left corner, so that 0.5 is the middle of the first pixel; z has the same
    scale, smaller is nearer. A sigmoid turns the logit into the probability that the crop holds a face.
    """

    INPUT_SIZE = 192  # pixels

    def __init__(self, operations=nn):
        super().__init__()
        ops = operations
        self.stem = nn.Sequential(ops.Conv2d(3, 16, 3, 2), nn.PReLU(16))
        strides_and_widths = [16, 16, (32, 2), 32, 32, (64, 2), 64, 64, (128, 2), 128, 128, (128, 2), 128, 128]
        self.trunk = _stage(16, strides_and_widths, ops)
        self.presence = _head(_stage(128, [(128, 2)], ops), 1, ops)
        self.points = _head(_stage(128, [(128, 2), 128, 128], ops), 3 * MESH_POINTS, ops)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.trunk(self.stem(pad_same(x, 3, 2)))  # (b, 128, 6, 6)
        points = rearrange(self.points(x), "b (p xyz) 1 1 -> b p xyz", xyz=3)
        return points, self.presence(x).flatten()


def _stage(channels: int, widths: list, operations) -> nn.Sequential:
    """A chain of BlazeBlocks with PReLU; a width is a channel count or (channel count, stride)."""
    blocks = []
    for width in widths:
        out_channels, stride = width if isinstance(width, tuple) else (width, 1)
        blocks.append(BlazeBlock(channels, out_channels, nn.PReLU(out_channels), stride, operations))
        channels = out_channels
    return nn.Sequential(*blocks)


def _head(stage: nn.Sequential, numbers: int, operations) -> nn.Sequential:
    """(b, 128, 6, 6) -> (b, numbers, 1, 1)."""
    narrow = BlazeBlock(32, 32, nn.PReLU(32), operations=operations)
    squeeze = [operations.Conv2d(128, 32, 1), nn.PReLU(32)]
    return nn.Sequential(*stage, *squeeze, narrow, operations.Conv2d(32, numbers, 3))
