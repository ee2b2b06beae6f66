"""The three kinds of UNet stage: going down, the middle, going up.

Inside a stage every layer is a resnet, then cross-attention to the audio tokens (where the stage has it), then a motion
module (where the level has it). All tensors are (b*f, c, h, w).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import AttentionFunction, SpatialTransformer, repeated
from .config import UNetConfig
from .motion import MotionModule
from .resnet import Downsample, ResnetBlock, Upsample
from .sample_tokens import SampleTokens


@dataclass(frozen=True)
class LayerFactory:
    """Builds the layers of one network from its config, its operations and the dtype and device of its weights."""

    config: UNetConfig
    ops: Any  # a namespace with Linear, Conv2d, GroupNorm and LayerNorm: torch.nn or a host's own
    attention: AttentionFunction
    factory_kwargs: dict[str, Any]  # dtype and device of new weights

    def resnet(self, in_channels: int, out_channels: int, scale: float = 1.0) -> ResnetBlock:
        return ResnetBlock(
            in_channels, out_channels, self.config, output_scale=scale, ops=self.ops, **self.factory_kwargs
        )

    def audio_attention(self, channels: int) -> SpatialTransformer:
        return SpatialTransformer(channels, self.config, self.attention, self.ops, **self.factory_kwargs)

    def motion(self, channels: int) -> MotionModule:
        config = self.config.motion_module_kwargs
        return MotionModule(channels, config, self.attention, self.ops, **self.factory_kwargs)


class Checkpointed(nn.Module):
    """A stage that may keep no activations of its layers in training, and computes them again when needed."""

    gradient_checkpointing = False

    def run(self, layer, *inputs) -> Tensor:
        """Call `layer`, with or without its activations kept (arXiv 1604.06174)."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, *inputs, use_reentrant=False)
        return layer(*inputs)


class Stage(Checkpointed):
    """The layers a stage runs in turn; attention and motion are absent where the config says so."""

    def __init__(self, layer_channels: list[tuple[int, int]], has_attention: bool, has_motion: bool, factory):
        super().__init__()
        self.resnets = nn.ModuleList([factory.resnet(inputs, outputs) for inputs, outputs in layer_channels])
        outputs = [channels for _, channels in layer_channels]
        self.attentions = nn.ModuleList([factory.audio_attention(c) for c in outputs] if has_attention else [])
        self.motion_modules = nn.ModuleList([factory.motion(c) for c in outputs] if has_motion else [])

    def layer(self, index: int, x: Tensor, time_embedding: Tensor, audio: SampleTokens, frames: int) -> Tensor:
        """Run one layer.

        Args:
            index: of the layer within the stage.
            x: (b*f, c, h, w) feature maps.
            time_embedding: (b, 4*width), through SiLU.
            audio: the tokens of all samples.
            frames: f, the frames of a window.
        """
        x = self.resnets[index](x, time_embedding, frames)
        if self.attentions:
            x = self.attentions[index](x, audio)
        if self.motion_modules:
            x = self.motion_modules[index](x, frames)
        return x


class DownStage(Stage):
    """Layers whose outputs become skip connections, then a downsampling."""

    def __init__(self, level: int, factory: LayerFactory):
        config = factory.config
        channels = config.block_out_channels[level]
        first = config.block_out_channels[max(level - 1, 0)]
        layers = [(first if i == 0 else channels, channels) for i in range(config.layers_per_block)]
        has_attention = config.down_block_types[level] == "CrossAttnDownBlock3D"
        super().__init__(layers, has_attention, config.has_motion(level, decoder=False), factory)
        last = level == len(config.block_out_channels) - 1
        samplers = (
            [] if last else [Downsample(channels, config.downsample_padding, factory.ops, **factory.factory_kwargs)]
        )
        self.downsamplers = nn.ModuleList(samplers)

    def forward(self, x: Tensor, time_embedding: Tensor, audio: SampleTokens, frames: int):
        skips = []
        for index in range(len(self.resnets)):
            x = self.run(self.layer, index, x, time_embedding, audio, frames)
            skips.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        return x, skips


class MidStage(Checkpointed):
    """Resnet, cross-attention to the audio tokens, resnet; a motion module only where the config asks for one."""

    def __init__(self, factory: LayerFactory):
        super().__init__()
        config = factory.config
        channels, scale = config.block_out_channels[-1], config.mid_block_scale_factor
        self.resnets = nn.ModuleList([factory.resnet(channels, channels, scale) for _ in range(2)])
        self.attentions = nn.ModuleList([factory.audio_attention(channels)])
        has_motion = config.use_motion_module and config.motion_module_mid_block
        self.motion_modules = nn.ModuleList([factory.motion(channels)] if has_motion else [])

    def forward(self, x: Tensor, time_embedding: Tensor, audio: SampleTokens, frames: int) -> Tensor:
        return self.run(self.layers, x, time_embedding, audio, frames)

    def layers(self, x: Tensor, time_embedding: Tensor, audio: SampleTokens, frames: int) -> Tensor:
        x = self.resnets[0](x, time_embedding, frames)
        x = self.attentions[0](x, audio)
        for motion_module in self.motion_modules:
            x = motion_module(x, frames)
        return self.resnets[1](x, time_embedding, frames)


class UpStage(Stage):
    """Layers that each take one skip connection, then an upsampling."""

    def __init__(self, level: int, factory: LayerFactory):
        config = factory.config
        widths = config.block_out_channels
        channels, below = widths[level], widths[min(level + 1, len(widths) - 1)]
        count = config.layers_per_block + 1
        skip_widths = [channels] * (count - 1) + [widths[max(level - 1, 0)]]
        layers = [((below if i == 0 else channels) + skip_widths[i], channels) for i in range(count)]
        has_attention = config.up_block_types[len(widths) - 1 - level] == "CrossAttnUpBlock3D"
        super().__init__(layers, has_attention, config.has_motion(level, decoder=True), factory)
        self.upsamplers = nn.ModuleList(
            [Upsample(channels, factory.ops, **factory.factory_kwargs)] if level > 0 else []
        )

    def forward(self, x: Tensor, skips: list[Tensor], time_embedding: Tensor, audio: SampleTokens, frames: int):
        """Run the stage; it takes its skip connections off the end of `skips`.

        Args:
            x: (b*f, c, h, w) feature maps.
            skips: outputs of the down stages, the last one first in use.
            time_embedding: (b, 4*width), through SiLU.
            audio: the tokens of all samples.
            frames: f, the frames of a window.

        Returns x at the size of the next skip connection.
        """
        x = self.all_but_last(x, skips, time_embedding, audio, frames)
        x = self.last(x, skips.pop(), time_embedding, audio, frames)
        for upsample in self.upsamplers:
            x = upsample(x, skips[-1].shape[2:])
        return x

    def all_but_last(self, x: Tensor, skips: list[Tensor], time_embedding: Tensor, audio: SampleTokens, frames: int):
        """The layers before the last; arguments as for `forward`."""
        for index in range(len(self.resnets) - 1):
            x = torch.cat([x, repeated(skips.pop(), len(x))], dim=1)
            x = self.run(self.layer, index, x, time_embedding, audio, frames)
        return x

    def last(self, x: Tensor, skip: Tensor, time_embedding: Tensor, audio: SampleTokens, frames: int) -> Tensor:
        """The last layer, which takes one skip connection: in the last stage it is the input convolution's output."""
        x = torch.cat([x, repeated(skip, len(x))], dim=1)
        return self.run(self.layer, len(self.resnets) - 1, x, time_embedding, audio, frames)
