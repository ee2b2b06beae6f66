"""LatentSync's 3D UNet: a Stable Diffusion 1.5 UNet run on every frame, with motion modules between the frames."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...errors import LatentSyncError
from .attention import AttentionFunction, repeated, scaled_dot_product, sinusoidal_embedding
from .blocks import DownStage, LayerFactory, MidStage, UpStage
from .config import UNetConfig
from .resnet import normed_silu
from .reuse import DeepFeatures, deep_features
from .sample_tokens import SampleTokens


class TimeEmbedding(nn.Module):
    """Two linear layers over the sinusoidal timestep embedding."""

    def __init__(self, inputs: int, outputs: int, ops, **factory_kwargs):
        super().__init__()
        self.linear_1 = ops.Linear(inputs, outputs, **factory_kwargs)
        self.linear_2 = ops.Linear(outputs, outputs, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class UNet3DConditionModel(nn.Module):
    """Predicts the noise in a window of face latents from the masked face, the reference face and the audio tokens.

    takes_batch: that `forward` has the argument `batch`, for whoever calls it through a `NoisePredictor`.

    Args:
        config: widths, depth and motion modules.
        operations: namespace with Linear, Conv2d, GroupNorm and LayerNorm (torch.nn, or a host's casting operations).
        attention: ``attention(q, k, v, heads)`` on (b, n, heads * d) tensors.
        dtype, device: of the new weights; None = torch's defaults.
    """

    takes_batch = True

    def __init__(
        self,
        config: UNetConfig,
        *,
        operations: Any = nn,
        attention: AttentionFunction = scaled_dot_product,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        self.config = config
        factory_kwargs = {"dtype": dtype, "device": device}
        factory = LayerFactory(config, ops=operations, attention=attention, factory_kwargs=factory_kwargs)
        widths = config.block_out_channels
        levels = range(len(widths))
        self.conv_in = operations.Conv2d(config.in_channels, widths[0], 3, padding=1, **factory_kwargs)
        self.time_embedding = TimeEmbedding(widths[0], 4 * widths[0], operations, **factory_kwargs)
        self.down_blocks = nn.ModuleList([DownStage(level, factory) for level in levels])
        self.mid_block = MidStage(factory)
        self.up_blocks = nn.ModuleList([UpStage(level, factory) for level in reversed(levels)])
        self.conv_norm_out = operations.GroupNorm(
            config.norm_num_groups, widths[0], eps=config.norm_eps, **factory_kwargs
        )
        self.conv_out = operations.Conv2d(widths[0], config.out_channels, 3, padding=1, **factory_kwargs)
        nn.init.zeros_(self.conv_out.weight)  # training starts from "no noise predicted"
        nn.init.zeros_(self.conv_out.bias)
        self.metadata: dict[str, Any] = {}  # what its checkpoint says of its training
        self.null_audio_tokens = (
            None  # (n, d) unconditional embedding; the conditioning module, not the forward pass, uses it
        )
        if config.null_audio_tokens:
            null = torch.zeros(config.null_audio_tokens, config.cross_attention_dim, **factory_kwargs)
            self.null_audio_tokens = nn.Parameter(null)

    @property
    def dtype(self) -> torch.dtype:
        """Storage dtype of the weights."""
        return self.conv_in.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.conv_in.weight.device

    def enable_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recompute activations in the backward pass: a third more compute for a small part of the memory."""
        for stage in (*self.down_blocks, self.mid_block, *self.up_blocks):
            stage.gradient_checkpointing = enabled

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        audio_tokens: Tensor,
        kept: Sequence[DeepFeatures] | None = None,
        batch: int | None = None,
    ) -> Tensor:
        """Predict the noise of a window (REFERENCE section 1).

        sample: (b, 13, f, h, w): noisy latents 4, mask 1 (1 = kept), masked-face latents 4, reference latents 4.
        timestep: scalar, or (b,); diffusion time in 0..999.
        audio_tokens: (b*f, n, d), each frame's tokens; frames of one sample follow one another.
        kept: one for each sample: deep features of an earlier pass, used in place of computing them; filled where they
        are empty (REFERENCE section 4). None = compute everything and keep nothing.
        batch: b, where it is more than the other arguments hold; the timestep is then one. A sample of fewer stands for
        copies of itself, and all before their first cross-attention is computed once; where tokens are fewer, the first
        samples have none, which equals tokens of zeros and costs no cross-attention.
        Returns (b, 4, f, h, w). Raises LatentSyncError when f exceeds the temporal position table.
        """
        frames = sample.shape[2]
        audio = SampleTokens(audio_tokens, batch=batch or len(sample), frames=frames)
        timesteps = torch.as_tensor(timestep, device=sample.device).reshape(-1)
        self._check_inputs(sample, timesteps, audio, tokens_may_lack=batch is not None)
        if self.config.center_input_sample:
            sample = 2 * sample - 1
        time_embedding = self._embed_time(timesteps, sample.dtype)

        x = self.conv_in(rearrange(sample, "b c f h w -> (b f) c h w"))
        if kept is None:
            deep = self._deep(x, time_embedding, audio, frames)
        else:
            deep = deep_features(self._deep, x, time_embedding, audio, kept)
        x = self.up_blocks[-1].last(deep, x, time_embedding, audio, frames)
        x = self.conv_out(normed_silu(self.conv_norm_out, x, frames))
        return rearrange(repeated(x, audio.rows), "(b f) c h w -> b c f h w", f=frames)

    def _deep(self, x: Tensor, time_embedding: Tensor, audio: SampleTokens, frames: int) -> Tensor:
        """From the input convolution's output to the input of the last up stage's last layer: (b*f, c, h, w) both."""
        skips = [x]
        for stage in self.down_blocks:
            x, outputs = stage(x, time_embedding, audio, frames)
            skips.extend(outputs)
        x = self.mid_block(x, time_embedding, audio, frames)
        for stage in self.up_blocks[:-1]:
            x = stage(x, skips, time_embedding, audio, frames)
        return self.up_blocks[-1].all_but_last(x, skips, time_embedding, audio, frames)

    def _embed_time(self, timesteps: Tensor, dtype: torch.dtype) -> Tensor:
        """(b, 4*width) of timesteps (b,), in `dtype`, through the SiLU that every resnet would otherwise repeat."""
        config = self.config
        embedding = sinusoidal_embedding(
            timesteps, config.block_out_channels[0], config.flip_sin_to_cos, config.freq_shift
        )
        return F.silu(self.time_embedding(embedding.to(dtype)))

    def _check_inputs(self, sample: Tensor, timesteps: Tensor, audio: SampleTokens, *, tokens_may_lack: bool) -> None:
        samples, channels, frames = sample.shape[:3]
        if channels != self.config.in_channels:
            raise ValueError(f"sample has {channels} channels, the UNet takes {self.config.in_channels}")
        if audio.batch % samples or (audio.batch > samples and len(timesteps) > 1):
            raise ValueError(f"{samples} samples at {len(timesteps)} timesteps do not stand for {audio.batch}")
        rows = len(audio.tokens)
        if rows != audio.rows and not (tokens_may_lack and rows % frames == 0 and rows < audio.rows):
            raise ValueError(f"audio_tokens hold {rows} frames, the sample {audio.batch} x {frames} = {audio.rows}")
        if frames > self.config.max_window_frames and self.config.use_motion_module:
            raise LatentSyncError(
                f"A window of {frames} frames was asked for; the model's temporal position table ends at "
                f"{self.config.max_window_frames} (trained on 16): use a shorter window."
            )
