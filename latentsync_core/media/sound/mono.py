"""A voice as the model takes it: channels mixed to one waveform, resampled, and rejected where it is silent."""

import itertools
import logging
import os
from collections.abc import Callable, Iterable

import av
import numpy as np

from ...errors import LatentSyncError
from .blocks import float_format, samples_of, waveform_blocks

log = logging.getLogger(__name__)

MODEL_RATE = 16_000  # Hz, of Whisper's input
SILENCE_DBFS = -60.0  # dB below full scale: a recording whose loudest sample is quieter holds no voice
MONO_WEIGHTS = {"FC": 1.0, "FL": 0.5**0.5, "FR": 0.5**0.5, "LFE": 0.0, "LFE2": 0.0}
SURROUND_WEIGHT = 0.5  # of every other channel
CANCELLED = 0.1  # share of the energy of uncorrelated channels, below which they cancel out


def resample_waveform(waveform: np.ndarray, rate: int, sample_rate: int = MODEL_RATE) -> np.ndarray:
    """The same for a waveform in memory: float32 (channels, samples) at `rate` Hz -> float32 (samples,)."""
    return mix_down(lambda: waveform_blocks(waveform, rate), sample_rate, "the audio")


def mix_down(
    open_blocks: Callable[[], Iterable[av.AudioFrame]], sample_rate: int, path: str | os.PathLike
) -> np.ndarray:
    """Blocks of one rate, layout and format as one mono waveform; `path` is what errors call them.

    open_blocks: gives them from the start. They are read twice only where the channels cancel out, which is known at
    the end alone: until then memory holds just the mix.
    """
    waveform, loudest = weighted_mix(open_blocks(), sample_rate)
    if loudest is not None:
        log.warning(
            "%s: its channels cancel out when they are mixed (one is another inverted); the mouth follows the "
            "loudest alone, channel %d",
            path,
            loudest + 1,
        )
        waveform, _ = weighted_mix(open_blocks(), sample_rate, only=loudest)
    if not np.isfinite(waveform).all():
        raise LatentSyncError(f"{path}: its audio holds samples that are no numbers; export the recording again")
    return np.clip(waveform, -1, 1, out=waveform)


def weighted_mix(
    blocks: Iterable[av.AudioFrame], sample_rate: int, only: int | None = None
) -> tuple[np.ndarray, int | None]:
    """The channels mixed by mono_weights, or one `only`, not yet limited; and where they cancel out, the loudest.

    Cancelling shows in the energy: that of uncorrelated channels adds up, each times its squared weight.
    """
    samples, weights = bytearray(), None  # grows in place: thousands of pieces would fragment the heap
    energies, mixed_energy, resampler = 0.0, 0.0, None
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            if resampler is None:
                names = [channel.name for channel in block.layout.channels]
                weights = mono_weights(names) if only is None else np.eye(len(names), dtype=np.float32)[only]
                resampler = av.AudioResampler(format=float_format(len(names)), layout=None, rate=sample_rate)
            block.pts = None  # the number of samples, not the time stamps, gives the length
        elif resampler is None:
            break
        for piece in resampler.resample(block):
            channels = samples_of(piece)
            mixed = weights @ channels
            samples += mixed.tobytes()
            energies += np.einsum("cn,cn->c", channels, channels)
            mixed_energy += float(mixed @ mixed)
    waveform = np.frombuffer(samples, np.float32)
    shares = energies * weights**2 if waveform.size else np.zeros(1)
    cancelled = only is None and mixed_energy < CANCELLED * shares.sum()
    return waveform, int(shares.argmax()) if cancelled else None


def mono_weights(channels: list[str]) -> np.ndarray:
    """The share of each named channel in mono, float32, summing to 1.

    ITU-R BS.775 as swresample mixes integer formats: centre 1, front left and right 0.707, others 0.5, low-frequency
    effects 0, then scaled to a sum of 1. (For float formats swresample leaves out that scaling and can clip.)
    Channels without the usual names count equally.
    """
    if len(channels) <= 2 or not {"FL", "FC"} & set(channels):
        weights = np.ones(len(channels))
    else:
        weights = np.array([MONO_WEIGHTS.get(name, SURROUND_WEIGHT) for name in channels])
    return (weights / weights.sum()).astype(np.float32)


def check_voice(waveform: np.ndarray, path: str | os.PathLike) -> None:
    """Raise LatentSyncError where a mono `waveform` is empty or never louder than -60 dBFS."""
    if not waveform.size:
        raise LatentSyncError(f"{path}: its audio track is empty (0 samples), a voice recording is needed")
    peak = float(np.abs(waveform).max())
    if peak < 10 ** (SILENCE_DBFS / 20):
        loudness = f"its loudest sample is {20 * np.log10(peak):.0f} dBFS" if peak else "every sample is zero"
        raise LatentSyncError(
            f"{path}: the recording is silent ({loudness}); a voice above {SILENCE_DBFS:.0f} dBFS is needed"
        )
