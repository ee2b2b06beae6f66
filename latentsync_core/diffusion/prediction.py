"""The guided noise prediction of windows: what the network is given for both sides of the guidance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..models.unet.reuse import DeepFeatures
from .conditioning import null_like
from .guidance import Guidance
from .windows import Window, fusion_weights

NoisePredictor = Callable[..., Tensor]
"""``predict(sample (b,13,f,h,w), timestep, audio_tokens (b*f,n,d)) -> (b,4,f,h,w)``: the UNet, or a host's wrapper.

Where features are reused, b `DeepFeatures` are a fourth argument. A predictor with a true attribute `takes_batch` is
told `batch`=b, and what the sides of the guidance share is left out of its inputs as `UNet3DConditionModel` says.
"""


class Conditioning(Protocol):
    """Supplies the conditioning of any window of a clip."""

    def window(self, span: Window) -> tuple[Tensor, Tensor, Tensor | None]:
        """condition (1, 9, f, h, w), voice tokens (f, n, d), null tokens (f, n, d) or None, which is zeros.

        Where the unconditional prediction has another face condition, condition has two rows, the unconditional first.
        """


@dataclass(frozen=True)
class TensorConditioning:
    """Conditioning in whole-clip tensors.

    condition (1 or 2, 9, F, h, w), audio_tokens (F, n, d), null_tokens (1, n, d) or (F, n, d); None = zeros.
    """

    condition: Tensor
    audio_tokens: Tensor
    null_tokens: Tensor | None = None

    def window(self, span: Window) -> tuple[Tensor, Tensor, Tensor | None]:
        part = slice(span.start, span.stop)
        voice, null = self.audio_tokens[part], self.null_tokens
        if null is not None:
            null = null_like(voice, null if len(null) == 1 else null[part])
        return self.condition[:, :, part], voice, null


@dataclass(frozen=True)
class WindowInputs:
    """One window of a group, ready for the network.

    part: its frames, counted from the group's first. weight (f, 1, 1): its weight in the fused prediction of each.
    condition (1 or 2, 9, f, h, w), voice (f, n, d), null (f, n, d): in the network's dtype, on its device.
    Of two rows of the condition, the unconditional one comes first; null None = zeros. kept: what the network computed
    of the window at an earlier step, for the unconditional and for the conditional prediction; None where nothing is
    reused.
    """

    part: slice
    weight: Tensor
    condition: Tensor
    voice: Tensor
    null: Tensor | None
    kept: tuple[DeepFeatures, DeepFeatures] | None = None

    def forget(self, step: int, interval: int, null_interval: int) -> None:
        """Let the whole network run for the predictions whose turn it is."""
        for features, every in zip(self.kept or (), (null_interval, interval), strict=False):
            if step % every == 0:
                features.forget()


def window_inputs(
    windows: Sequence[Window],
    conditioning: Conditioning,
    dtype: torch.dtype,
    device: torch.device | str,
    reuse: bool = False,
) -> list[WindowInputs]:
    """The network's inputs for every window of a group. reuse: whether they keep features between steps."""

    def placed(tensor: Tensor) -> Tensor:
        return tensor.to(device=device, dtype=dtype)

    first, inputs = windows[0].start, []
    for span, weight in zip(windows, fusion_weights(windows), strict=True):
        condition, voice, null = conditioning.window(span)
        window = WindowInputs(
            part=slice(span.start - first, span.stop - first),
            weight=weight.to(device)[:, None, None],  # (f, 1, 1)
            condition=placed(condition),
            voice=placed(voice),
            null=None if null is None else placed(null),
            kept=(DeepFeatures(), DeepFeatures()) if reuse else None,
        )
        inputs.append(window)
    return inputs


@dataclass(frozen=True)
class GuidedStep:
    """A denoising step as the network takes it.

    unet: the noise predictor. timestep: of the diffusion. guidance: how the two predictions are combined. scale: of
    this step; at most 1 = the conditional prediction alone.
    """

    unet: NoisePredictor
    timestep: Tensor
    guidance: Guidance
    scale: float

    def predict(self, latents: Tensor, windows: Sequence[WindowInputs]) -> Tensor:
        """The guided noise prediction for w windows of equal length, latents (w, 4, f, h, w) scaled for the timestep.

        Returns (w, 4, f, h, w) float32.
        """
        if self.scale <= 1:
            return voice_inputs(latents, windows).predict(self.unet, self.timestep).float()
        both = guided_inputs(latents, windows).predict(self.unet, self.timestep).float()
        null, voice = both.chunk(2)
        return self.guidance.combine(null, voice, self.scale)


@dataclass(frozen=True)
class NetworkInputs:
    """What the network is given for b samples, as `UNet3DConditionModel.forward` takes it with `batch`.

    sample: (b or a part, 13, f, h, w). tokens: (b*f or a part, n, d). kept: b features; None where nothing is reused.
    """

    batch: int
    sample: Tensor
    tokens: Tensor
    kept: tuple[DeepFeatures, ...] | None

    def predict(self, unet: NoisePredictor, timestep: Tensor) -> Tensor:
        """(b, 4, f, h, w)."""
        kept = () if self.kept is None else (self.kept,)
        if getattr(unet, "takes_batch", False):
            return unet(self.sample, timestep, self.tokens, *kept, batch=self.batch)
        sample = self.sample.repeat(self.batch // len(self.sample), 1, 1, 1, 1)
        rows = self.batch * sample.shape[2] - len(self.tokens)
        zeros = self.tokens.new_zeros(()).expand(rows, *self.tokens.shape[1:])
        return unet(sample, timestep, torch.cat([zeros, self.tokens]), *kept)


def guided_inputs(latents: Tensor, windows: Sequence[WindowInputs]) -> NetworkInputs:
    """Both sides of w windows, latents (w, 4, f, h, w): first all unconditional samples, then all conditional ones."""
    noisy = latents.to(windows[0].condition.dtype)
    sides = zip(*(window.condition.split(1) for window in windows), strict=True)  # one where both agree, else two
    sample = torch.cat([torch.cat([noisy, torch.cat(side)], dim=1) for side in sides])
    nulls = [window.null for window in windows if window.null is not None]
    tokens = torch.cat(nulls + [window.voice for window in windows])
    kept = tuple(window.kept[side] for side in (0, 1) for window in windows if window.kept)
    return NetworkInputs(batch=2 * len(windows), sample=sample, tokens=tokens, kept=kept or None)


def voice_inputs(latents: Tensor, windows: Sequence[WindowInputs]) -> NetworkInputs:
    """The conditional side of w windows alone, latents (w, 4, f, h, w)."""
    noisy, condition = latents.to(windows[0].condition.dtype), [window.condition[-1:] for window in windows]
    sample = torch.cat([noisy, torch.cat(condition)], dim=1)
    kept = tuple(window.kept[1] for window in windows if window.kept)
    tokens = torch.cat([window.voice for window in windows])
    return NetworkInputs(batch=len(windows), sample=sample, tokens=tokens, kept=kept or None)
