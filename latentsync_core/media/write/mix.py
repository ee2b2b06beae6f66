"""The voice mixed with the sound that the video already has, sample by sample, without clipping."""

import itertools
import logging
import math
import os
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np

from ...errors import LatentSyncError
from ..read.audio import probe_audio
from ..read.source import open_media
from ..sound.blocks import BLOCK_SAMPLES, float_block, float_format, samples_of
from ..sound.mono import mono_weights

log = logging.getLogger(__name__)

FULL_SCALE = 1.0

Blocks = Iterator[av.AudioFrame]


def mixed_blocks(voice: Callable[[], Blocks], video: str | os.PathLike, duration: Fraction) -> Blocks:
    """Blocks (float) of `voice` added to the sound of `video`, for `duration` seconds from the first picture.

    voice: opens the voice's blocks. The video's sound stays in sync with its pictures.
    Both keep their level; where the sum would exceed full scale, all of it is made quieter by one factor, with a
    warning. The rate is the higher of the two, and sound at that rate keeps its samples; the channels are those of
    whichever has more. What is shorter is padded with silence; beyond both there are no blocks.
    A video without sound leaves the voice alone, with a warning. Raises LatentSyncError as stream_audio does.
    """
    if not has_sound(video):
        log.warning("%s has no sound of its own to mix with; the result has the voice alone", video)
        return voice()
    sounds = (voice, probe_audio(video, video=video).blocks)
    likes = [next(sound()) for sound in sounds]
    rate = max(like.sample_rate for like in likes)
    layout = max((like.layout for like in likes), key=lambda layout: len(layout.channels))
    samples = math.ceil(duration * rate)

    def pieces() -> Iterator[np.ndarray]:
        names = [channel.name for channel in layout.channels]
        first, second = (sound_pieces(sound(), rate, names) for sound in sounds)
        return added(first, second, samples)

    peak = max((float(np.abs(piece).max(initial=0)) for piece in pieces()), default=0.0)
    if not math.isfinite(peak):
        raise LatentSyncError(f"The sum of the voice and the sound of {video} holds samples that are no numbers.")
    gain = np.float32(min(1.0, FULL_SCALE / peak) if peak else 1.0)
    if gain < 1:
        quieter = 20 * math.log10(peak)
        log.warning("the voice and the video's own sound together exceed full scale: both are %.1f dB quieter", quieter)
    return (float_block(piece * gain, rate, layout.name) for piece in pieces())


def has_sound(video: str | os.PathLike) -> bool:
    """Whether the file has an audio track."""
    with open_media(video, "a video file") as container:
        return bool(container.streams.audio)


def sound_pieces(blocks: Blocks, rate: int, names: list[str]) -> Iterator[np.ndarray]:
    """A sound as (channels, n) float32 pieces at `rate`, its channels those named."""
    resampler = None
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            block.pts = None  # the number of samples, not the time stamps, gives the length
            if resampler is None:
                own = [channel.name for channel in block.layout.channels]
                resampler = av.AudioResampler(format=float_format(len(own)), layout=None, rate=rate)
        for piece in resampler.resample(block):
            yield spread(samples_of(piece), own, names)


def spread(samples: np.ndarray, own: list[str], names: list[str]) -> np.ndarray:
    """Samples (len(own), n) for the channels `names`: (len(names), n).

    Channels of the same name keep their place. Mono goes to the centre where there is one, else to every channel; what
    else has no counterpart goes there as mono.
    """
    if own == names:
        return samples
    result = np.zeros((len(names), samples.shape[1]), np.float32)
    if 1 < len(own) == len(set(own)) and set(own) <= set(names):  # unnamed channels all have one name
        for channel, name in zip(samples, own, strict=True):
            result[names.index(name)] = channel
        return result
    mono = mono_weights(own) @ samples
    result[names.index("FC") if "FC" in names else slice(None)] = mono
    return result


def added(one: Iterator[np.ndarray], other: Iterator[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """The sum of two streams of pieces (channels, n) in pieces of BLOCK_SAMPLES, at most `samples` long."""
    rests: list[np.ndarray | None] = [next(one, None), next(other, None)]
    while samples > 0 and any(rest is not None for rest in rests):
        channels = next(rest for rest in rests if rest is not None).shape[0]
        wanted = min(BLOCK_SAMPLES, samples)
        total = np.zeros((channels, wanted), np.float32)
        filled = 0
        for place, stream in enumerate((one, other)):
            taken = 0
            while taken < wanted and rests[place] is not None:
                piece = rests[place][:, : wanted - taken]
                total[:, taken : taken + piece.shape[1]] += piece
                taken += piece.shape[1]
                rest = rests[place][:, piece.shape[1] :]
                rests[place] = rest if rest.shape[1] else next(stream, None)
            filled = max(filled, taken)
        samples -= filled
        yield total[:, :filled]
