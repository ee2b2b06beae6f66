"""Feature reuse: the UNet's deep features change little from one denoising step to the next (arXiv 2312.00858).

Only the input convolution, the last layer of the last up stage and the output convolution run at every step. Of what
lies between, the last layer sees one tensor, which the caller keeps in a `DeepFeatures` for each sample: windows, both
sides of the guidance and separate runs never share any.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .attention import repeated


class DeepFeatures:
    """What one sample keeps: the feature maps (f, c, h, w) that enter the last layer; None = the next pass is full."""

    def __init__(self) -> None:
        self.maps: Tensor | None = None  # on any device: a host may put it aside

    def forget(self) -> None:
        """Let the next pass compute everything."""
        self.maps = None


def deep_features(
    compute: Callable[[Tensor, Tensor, Tensor, int], Tensor],
    x: Tensor,
    time_embedding: Tensor,
    audio_tokens: Tensor,
    kept: Sequence[DeepFeatures],
) -> Tensor:
    """The last layer's input for a batch, computed for the samples that keep none and noted for all of them.

    Args:
        compute: ``compute(x, time_embedding, audio_tokens, frames)``, the deep part of the UNet.
        x: (b*f, c, h, w), the input convolution's output, or (f, c, h, w) where all samples share it.
        time_embedding: (b, 4*width), or (1, 4*width) for all samples.
        audio_tokens: (b*f, n, d).
        kept: one for each of the b samples.

    Returns (b*f, c, h, w). Raises ValueError where `kept` is of another batch or another window.
    """
    batch, frames = len(kept), len(audio_tokens) // len(kept)
    found = [features.maps.shape for features in kept if features.maps is not None]
    if len(x) not in (frames, batch * frames) or any((s[0], *s[2:]) != (frames, *x.shape[2:]) for s in found):
        raise ValueError(f"features of {batch} samples {found} are kept, the batch is {tuple(x.shape)}")
    missing = [sample for sample in range(batch) if kept[sample].maps is None]
    if len(missing) == batch:
        computed = repeated(compute(x, time_embedding, audio_tokens, frames), len(audio_tokens))
    elif missing:
        rows = torch.cat([torch.arange(sample * frames, (sample + 1) * frames) for sample in missing]).to(x.device)
        own = x if len(x) == frames else x[rows]
        times = time_embedding if len(time_embedding) == 1 else time_embedding[missing]
        computed = repeated(compute(own, times, audio_tokens[rows], frames), len(rows))
    for place, sample in enumerate(missing):
        kept[sample].maps = computed[place * frames : (place + 1) * frames]
    return computed if len(missing) == batch else torch.cat([features.maps.to(x.device) for features in kept])
