"""Attention, feed-forward and the per-frame spatial transformer with its cross-attention to the audio tokens.

Throughout the UNet `ops` is a namespace of layer classes (torch.nn, or a host's casting operations), and
`factory_kwargs` are the dtype and device that each new layer is made with, as in torch.nn.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .config import UNetConfig
from .joined_weights import joined_weights
from .sample_tokens import SampleTokens

AttentionFunction = Callable[..., Tensor]
"""``attention(q, k, v, heads)`` on (b, n, heads * d) tensors, returning the same layout."""


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Multi-head attention over (b, n, heads * d) queries and (b, m, heads * d) keys and values.

    The signature is that of ComfyUI's ``optimized_attention``, so that a host can supply its own.
    """
    q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=heads) for t in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)")


class Attention(nn.Module):
    """Self-attention, or cross-attention when `context_dim` is given; the output has a bias, q, k, v only if asked.

    Args:
        dim: channels of the queries and of the output.
        heads: attention heads, which share `dim`.
        context_dim: channels of keys and values; None = self-attention.
        attention: ``attention(q, k, v, heads)`` on (b, n, heads * d) tensors.
        ops: namespace with Linear.
        qkv_bias: whether the projections to q, k and v have a bias.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        context_dim: int | None,
        attention: AttentionFunction,
        ops,
        *,
        qkv_bias: bool = False,
        **factory_kwargs,
    ):
        super().__init__()
        self.heads, self.attention = heads, attention
        context_dim = dim if context_dim is None else context_dim
        self.to_q = ops.Linear(dim, dim, bias=qkv_bias, **factory_kwargs)
        self.to_k = ops.Linear(context_dim, dim, bias=qkv_bias, **factory_kwargs)
        self.to_v = ops.Linear(context_dim, dim, bias=qkv_bias, **factory_kwargs)
        self.to_out = nn.ModuleList([ops.Linear(dim, dim, **factory_kwargs)])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        weights = joined_weights((self.to_q, self.to_k, self.to_v)) if context is None else None
        if weights is None:
            context = x if context is None else context
            q, k, v = self.to_q(x), self.to_k(context), self.to_v(context)
        else:
            q, k, v = F.linear(x, weights).chunk(3, dim=-1)
        return self.to_out[0](self.attention(q, k, v, self.heads))

    def of_zeros(self, like: Tensor) -> Tensor:
        """What a context of zeros gives at every query: the output's bias, (1, 1, dim) in the dtype of `like`.

        Without biases of their own its keys and values are zeros. Asked of the layer, whose weights a host may hold
        elsewhere or patched.
        """
        return self.to_out[0](like.new_zeros(1, 1, like.shape[-1]))


class GEGLU(nn.Module):
    """Gated GELU (arXiv 2002.05202)."""

    def __init__(self, dim: int, inner_dim: int, ops, **factory_kwargs):
        super().__init__()
        self.proj = ops.Linear(dim, 2 * inner_dim, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Expand four times through GEGLU and project back."""

    def __init__(self, dim: int, ops, **factory_kwargs):
        super().__init__()
        # The middle entry of the published checkpoints is a dropout without weights; it keeps the index 2 for the
        # last projection.
        self.net = nn.ModuleList(
            [GEGLU(dim, 4 * dim, ops, **factory_kwargs), nn.Identity(), ops.Linear(4 * dim, dim, **factory_kwargs)]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


def repeated(x: Tensor, rows: int) -> Tensor:
    """What samples of a batch have shared, (n, ...), one copy after the other: (rows, ...); x itself where it is as
    long."""
    return x if len(x) == rows else x.repeat(rows // len(x), *[1] * (x.dim() - 1))


class TransformerBlock(nn.Module):
    """Self-attention within a frame, cross-attention from the frame to its audio tokens, feed-forward.

    Args:
        dim: channels of the hidden states.
        heads: attention heads.
        audio_dim: channels of the audio tokens; None = no cross-attention.
        attention: as for `Attention`.
        ops: namespace with Linear and LayerNorm.
    """

    def __init__(
        self, dim: int, heads: int, audio_dim: int | None, attention: AttentionFunction, ops, **factory_kwargs
    ):
        super().__init__()
        self.norm1 = ops.LayerNorm(dim, **factory_kwargs)
        self.attn1 = Attention(dim, heads, None, attention, ops, **factory_kwargs)
        self.attn2 = None
        if audio_dim is not None:
            self.norm2 = ops.LayerNorm(dim, **factory_kwargs)
            self.attn2 = Attention(dim, heads, audio_dim, attention, ops, **factory_kwargs)
        self.norm3 = ops.LayerNorm(dim, **factory_kwargs)
        self.ff = FeedForward(dim, ops, **factory_kwargs)

    def forward(self, x: Tensor, audio: SampleTokens) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        if self.attn2 is not None:
            # Up to here samples differ in nothing if their pictures do not.
            x = self._attend_to_audio(self.attn2, repeated(x, audio.rows), audio.tokens)
        return x + self.ff(self.norm3(x))

    def _attend_to_audio(self, attention: Attention, x: Tensor, tokens: Tensor) -> Tensor:
        """x: (b*f, h*w, c) -> the same; tokens: (v*f, n, d), of the last rows."""
        without = len(x) - len(tokens)
        if without == 0:
            return x + attention(self.norm2(x), tokens)
        unconditional = x[:without] + attention.of_zeros(x)
        if len(tokens) == 0:
            return unconditional
        conditional = x[without:]
        return torch.cat([unconditional, conditional + attention(self.norm2(conditional), tokens)])


class SpatialTransformer(nn.Module):
    """One transformer block over the pixels of each frame, between 1x1 convolutions, as a residual.

    Args:
        channels: of the feature maps.
        config: the UNet's; it gives heads, norm groups and the width of the audio tokens.
        attention: as for `Attention`.
        ops: namespace with Linear, Conv2d, GroupNorm and LayerNorm.
    """

    def __init__(self, channels: int, config: UNetConfig, attention: AttentionFunction, ops, **factory_kwargs):
        super().__init__()
        heads = config.attention_head_dim  # a number of heads, whatever the published key says
        audio_dim = config.cross_attention_dim if config.add_audio_layer else None
        self.norm = ops.GroupNorm(config.norm_num_groups, channels, eps=1e-6, **factory_kwargs)
        self.proj_in = ops.Conv2d(channels, channels, 1, **factory_kwargs)
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(channels, heads, audio_dim, attention, ops, **factory_kwargs)]
        )
        self.proj_out = ops.Conv2d(channels, channels, 1, **factory_kwargs)

    def forward(self, x: Tensor, audio: SampleTokens) -> Tensor:
        """x: (b*f, c, h, w), or fewer rows that the samples share, see `repeated`."""
        height = x.shape[2]
        hidden = rearrange(self.proj_in(self.norm(x)), "bf c h w -> bf (h w) c")
        for block in self.transformer_blocks:
            hidden = block(hidden, audio)
        return repeated(x, len(hidden)) + self.proj_out(rearrange(hidden, "bf (h w) c -> bf c h w", h=height))


def sinusoidal_embedding(timesteps: Tensor, dim: int, flip_sin_to_cos: bool, freq_shift: int) -> Tensor:
    """Sinusoidal embedding of diffusion timesteps (arXiv 2006.11239): (b,) -> (b, dim) float32."""
    half = dim // 2
    frequencies = torch.exp(
        -torch.log(torch.tensor(10000.0)) * torch.arange(half, dtype=torch.float32) / (half - freq_shift)
    ).to(timesteps.device)
    angles = timesteps[:, None].float() * frequencies[None]  # (b, half)
    parts = (angles.cos(), angles.sin()) if flip_sin_to_cos else (angles.sin(), angles.cos())
    return torch.cat(parts, dim=-1)
