"""The three kinds of UNet stage: going down, the middle, going up.

Inside a stage every layer is resnet, then attention to the voice (where the stage has it), then motion module (where
the level has it). All tensors are (b*f, c, h, w).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import AttentionFunction, SpatialTransformer
from .config import UNetConfig
from .motion import MotionModule
from .resnet import Downsample, ResnetBlock, Upsample


@dataclass(frozen=True)
class LayerFactory:
    """Builds the layers of one network: its config, its operations and where its weights are to live."""

    config: UNetConfig
    ops: Any  # a namespace with Linear, Conv2d, GroupNorm and LayerNorm: torch.nn or a host's own
    attention: AttentionFunction
    place: dict  # dtype and device of new weights

    def resnet(self, in_channels: int, out_channels: int, scale: float = 1.0) -> ResnetBlock:
        config = self.config
        time_dim = 4 * config.block_out_channels[0]
        norm = (config.norm_num_groups, config.norm_eps)
        return ResnetBlock(in_channels, out_channels, time_dim, *norm, scale, self.ops, **self.place)

    def attention_to_voice(self, channels: int) -> SpatialTransformer:
        config = self.config
        audio_dim = config.cross_attention_dim if config.add_audio_layer else None
        shape = (channels, config.attention_head_dim, config.norm_num_groups, audio_dim)
        return SpatialTransformer(*shape, self.attention, self.ops, **self.place)

    def motion(self, channels: int) -> MotionModule:
        # 32 groups whatever norm_num_groups says: that is how motion modules were published.
        return MotionModule(channels, 32, self.config.motion_module_kwargs, self.attention, self.ops, **self.place)


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

    def __init__(self, layer_channels: list[tuple[int, int]], has_attention: bool, has_motion: bool, make):
        super().__init__()
        self.resnets = nn.ModuleList([make.resnet(inputs, outputs) for inputs, outputs in layer_channels])
        outputs = [channels for _, channels in layer_channels]
        self.attentions = nn.ModuleList([make.attention_to_voice(c) for c in outputs] if has_attention else [])
        self.motion_modules = nn.ModuleList([make.motion(c) for c in outputs] if has_motion else [])

    def layer(self, index: int, x: Tensor, time_embedding: Tensor, audio_tokens: Tensor, frames: int) -> Tensor:
        x = self.resnets[index](x, time_embedding, frames)
        if self.attentions:
            x = self.attentions[index](x, audio_tokens)
        if self.motion_modules:
            x = self.motion_modules[index](x, frames)
        return x


class DownStage(Stage):
    """Layers whose outputs are kept for the way up, then a downsampling."""

    def __init__(self, level: int, make: LayerFactory):
        config = make.config
        channels = config.block_out_channels[level]
        first = config.block_out_channels[max(level - 1, 0)]
        layers = [(first if i == 0 else channels, channels) for i in range(config.layers_per_block)]
        has_attention = config.down_block_types[level] == "CrossAttnDownBlock3D"
        super().__init__(layers, has_attention, config.has_motion(level, decoder=False), make)
        last = level == len(config.block_out_channels) - 1
        samplers = [] if last else [Downsample(channels, config.downsample_padding, make.ops, **make.place)]
        self.downsamplers = nn.ModuleList(samplers)

    def forward(self, x: Tensor, time_embedding: Tensor, audio_tokens: Tensor, frames: int):
        skips = []
        for index in range(len(self.resnets)):
            x = self.run(self.layer, index, x, time_embedding, audio_tokens, frames)
            skips.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        return x, skips


class MidStage(Checkpointed):
    """Resnet, attention to the voice, resnet; a motion module only where the config asks for one."""

    def __init__(self, make: LayerFactory):
        super().__init__()
        config = make.config
        channels, scale = config.block_out_channels[-1], config.mid_block_scale_factor
        self.resnets = nn.ModuleList([make.resnet(channels, channels, scale) for _ in range(2)])
        self.attentions = nn.ModuleList([make.attention_to_voice(channels)])
        has_motion = config.use_motion_module and config.motion_module_mid_block
        self.motion_modules = nn.ModuleList([make.motion(channels)] if has_motion else [])

    def forward(self, x: Tensor, time_embedding: Tensor, audio_tokens: Tensor, frames: int) -> Tensor:
        return self.run(self.layers, x, time_embedding, audio_tokens, frames)

    def layers(self, x: Tensor, time_embedding: Tensor, audio_tokens: Tensor, frames: int) -> Tensor:
        x = self.resnets[0](x, time_embedding, frames)
        x = self.attentions[0](x, audio_tokens)
        for motion_module in self.motion_modules:
            x = motion_module(x, frames)
        return self.resnets[1](x, time_embedding, frames)


class UpStage(Stage):
    """Layers that each take one kept picture from the way down, then an upsampling."""

    def __init__(self, level: int, make: LayerFactory):
        config = make.config
        widths = config.block_out_channels
        channels, below = widths[level], widths[min(level + 1, len(widths) - 1)]
        count = config.layers_per_block + 1
        skip_widths = [channels] * (count - 1) + [widths[max(level - 1, 0)]]
        layers = [((below if i == 0 else channels) + skip_widths[i], channels) for i in range(count)]
        has_attention = config.up_block_types[len(widths) - 1 - level] == "CrossAttnUpBlock3D"
        super().__init__(layers, has_attention, config.has_motion(level, decoder=True), make)
        self.upsamplers = nn.ModuleList([Upsample(channels, make.ops, **make.place)] if level > 0 else [])

    def forward(self, x: Tensor, skips: list[Tensor], time_embedding: Tensor, audio_tokens: Tensor, frames: int):
        """Takes its pictures off the end of `skips` and returns x at the size of the next one."""
        for index in range(len(self.resnets)):
            x = torch.cat([x, skips.pop()], dim=1)
            x = self.run(self.layer, index, x, time_embedding, audio_tokens, frames)
        for upsample in self.upsamplers:
            x = upsample(x, skips[-1].shape[2:])
        return x
