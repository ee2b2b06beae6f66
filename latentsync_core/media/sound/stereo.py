"""Many channels mixed to two, for sound that no codec of the result's container can store as it is."""

from collections.abc import Iterable, Iterator

import av
import numpy as np

from .blocks import float_block, float_format, samples_of

FRONT = ("FL", "FR")
OTHER_WEIGHT = 0.5**0.5  # beside a front channel's 1, as in ITU-R BS.775
EFFECTS = ("LFE", "LFE2")  # low-frequency effects, left out of stereo


def stereo_blocks(blocks: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """Blocks of one rate, layout and format, mixed by stereo_weights: float, never beyond full scale."""
    resampler = weights = None
    for block in blocks:
        if resampler is None:
            names = [channel.name for channel in block.layout.channels]
            weights = stereo_weights(names)
            resampler = av.AudioResampler(format=float_format(len(names)), layout=None, rate=block.sample_rate)
        block.pts = None  # the number of samples, not the time stamps, gives the length
        for piece in resampler.resample(block):
            yield float_block(weights @ samples_of(piece), piece.sample_rate, "stereo")


def stereo_weights(channels: list[str]) -> np.ndarray:
    """The share of each named channel in left and right: (2, channels) float32, each row summing to 1.

    What is named left or right goes to that side, what is in the middle, or has no name, to both.
    """
    weights = np.zeros((2, len(channels)), np.float32)
    for index, name in enumerate(channels):
        side = name.rstrip("C")[-1:]  # FLC is left of the centre, TFC is in the middle
        level = 0.0 if name in EFFECTS else 1.0 if name in FRONT else OTHER_WEIGHT
        weights[:, index] = level * (side != "R"), level * (side != "L")
    sums = weights.sum(1, keepdims=True)
    return weights / np.where(sums > 0, sums, 1)
