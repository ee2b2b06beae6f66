"""Feature reuse: the UNet's deep features change little from one denoising step to the next (arXiv 2312.00858).

Only the input convolution, the last layer of the last up stage and the output convolution run at every step. Of what
lies between, the last layer sees one tensor, which the caller keeps in a `DeepFeatures` for each sample: windows, both
sides of the guidance and separate runs never share any.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .attention import repeated
from .sample_tokens import SampleTokens, frame_rows


class DeepFeatures:
    """What one sample keeps: the feature maps (f, c, h, w) that enter the last layer; None = the next pass is full."""

    def __init__(self) -> None:
        self.maps: Tensor | None = None  # on any device: a host may put it aside

    def forget(self) -> None:
        """Let the next pass compute everything."""
        self.maps = None


def deep_features(
    compute: Callable[[Tensor, Tensor, SampleTokens, int], Tensor],
    x: Tensor,
    time_embedding: Tensor,
    audio: SampleTokens,
    kept: Sequence[DeepFeatures],
) -> Tensor:
    """The last layer's input for a batch, computed for the samples that keep none and noted for all of them.

    Args:
        compute: ``compute(x, time_embedding, audio, frames)``, the deep part of the UNet.
        x: (b*f, c, h, w), the input convolution's output, or (n*f, c, h, w) that the samples share, see `repeated`.
        time_embedding: (b, 4*width), or (1, 4*width) for all samples.
        audio: the tokens of the b samples.
        kept: one for each of them.

    Returns (b*f, c, h, w). Raises ValueError where `kept` is of another batch or another window.
    """
    batch, frames = audio.batch, audio.frames
    found = [features.maps.shape for features in kept if features.maps is not None]
    if len(kept) != batch or any((s[0], *s[2:]) != (frames, *x.shape[2:]) for s in found):
        raise ValueError(f"features of {len(kept)} samples {found} are kept, {batch} of {tuple(x.shape)} are asked for")
    missing = [sample for sample in range(batch) if kept[sample].maps is None]
    if missing:
        own = pictures_of(missing, x, frames)
        times = time_embedding if len(time_embedding) == 1 else time_embedding[missing]
        computed = repeated(compute(own, times, audio.of(missing), frames), len(missing) * frames)
    for place, sample in enumerate(missing):
        kept[sample].maps = computed[place * frames : (place + 1) * frames]
    return computed if len(missing) == batch else torch.cat([features.maps.to(x.device) for features in kept])


def pictures_of(samples: Sequence[int], x: Tensor, frames: int) -> Tensor:
    """The rows of x that belong to some samples, left out where they would only repeat those before."""
    pictures = len(x) // frames
    wanted = [sample % pictures for sample in samples]
    if wanted == list(range(pictures)) * (len(samples) // pictures):
        return x
    return x[frame_rows(wanted, frames).to(x.device)]
