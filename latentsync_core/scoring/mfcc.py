"""Mel-frequency cepstral coefficients, SyncNet v2's voice: the numbers of python_speech_features 0.6 at its defaults.

(REFERENCE section 1, "Sync networks"; the filters are those of the HTK book, its triangles on whole bins of the FFT.)
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.fft import dct

SAMPLE_RATE_HZ = 16_000
WINDOW, STEP = 400, 160  # samples: 25 ms every 10 ms, rectangular
STEPS_PER_SECOND = SAMPLE_RATE_HZ // STEP
N_FFT, FILTERS, COEFFICIENTS = 512, 26, 13
PREEMPHASIS = 0.97
LIFTER = 22
LOWEST_HZ, HIGHEST_HZ = 0.0, SAMPLE_RATE_HZ / 2
BLOCK_STEPS = 4096  # computed at once: 40 s of sound, 30 MB


def mfcc(pcm: np.ndarray) -> np.ndarray:
    """Thirteen coefficients of a voice every 10 ms, the first of them its log energy.

    pcm: (samples,) int16 at 16 kHz, not scaled. Returns (13, T) float32, T = 1 + ceil((samples - 400) / 160) and at
    least 1; the last windows reach into zeros. Works in blocks, so that beside the two arrays memory stays flat.
    Raises ValueError for another shape or an empty one.
    """
    pcm = np.asarray(pcm)
    if pcm.ndim != 1 or not len(pcm):
        raise ValueError(f"expected (samples,) of a mono voice, got the shape {pcm.shape}")
    steps = 1 + max(0, -(-(len(pcm) - WINDOW) // STEP))
    return np.concatenate([coefficients(windows) for windows in window_blocks(pcm, steps)]).T.copy()


def window_blocks(pcm: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Emphasised windows (n, 400) float64 of the first `steps` steps, in blocks."""
    for first in range(0, steps, BLOCK_STEPS):
        count = min(BLOCK_STEPS, steps - first)
        start, stop = first * STEP, (first + count - 1) * STEP + WINDOW
        sound = np.concatenate([pcm[max(start - 1, 0) : start], pcm[start:stop]]).astype(np.float64)
        emphasised = np.append(sound[:1], sound[1:] - PREEMPHASIS * sound[:-1])[min(start, 1) :]
        padded = np.pad(emphasised, (0, stop - start - len(emphasised)))
        yield np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP]


def coefficients(windows: np.ndarray) -> np.ndarray:
    """Emphasised windows (n, 400) -> (n, 13) float32."""
    power = np.abs(np.fft.rfft(windows, N_FFT)) ** 2 / N_FFT  # (n, 257)
    bands = log_of(power @ mel_filters().T)
    cepstra = dct(bands, type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    order = np.arange(COEFFICIENTS)
    lifted = cepstra * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER))
    lifted[:, 0] = log_of(power.sum(1))
    return lifted.astype(np.float32)


def log_of(values: np.ndarray) -> np.ndarray:
    """The natural logarithm, of the smallest step above one where a value is 0."""
    return np.log(np.where(values == 0, np.finfo(float).eps, values))


@cache
def mel_filters() -> np.ndarray:
    """(26, 257) float64: triangles between 0 and 8000 Hz, evenly spaced in mel, their corners on whole bins."""
    mels = np.linspace(hz_to_mel(LOWEST_HZ), hz_to_mel(HIGHEST_HZ), FILTERS + 2)
    corners = np.floor((N_FFT + 1) * mel_to_hz(mels) / SAMPLE_RATE_HZ)
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]  # (26, 1)
    bins = np.arange(N_FFT // 2 + 1)
    rising = (bins - left) / np.maximum(centre - left, 1)
    falling = (right - bins) / np.maximum(right - centre, 1)
    return np.where(bins < centre, rising, falling).clip(0)


def hz_to_mel(hz: float) -> float:
    """The HTK mel number of a frequency."""
    return 2595 * np.log10(1 + hz / 700)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """The frequencies of HTK mel numbers."""
    return 700 * (10 ** (mel / 2595) - 1)
