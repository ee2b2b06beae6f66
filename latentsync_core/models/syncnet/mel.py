"""StableSyncNet's audio input: a normalised mel spectrogram at 80 columns a second."""

import math

import torch
from torch import Tensor

SAMPLE_RATE_HZ = 16_000
N_FFT, HOP, MELS = 800, 200, 80  # samples, samples, bands
PREEMPHASIS = 0.97
LOWEST_HZ, HIGHEST_HZ = 55.0, 7600.0
REFERENCE_DB, FLOOR_DB = 20.0, -100.0
LIMIT = 4.0  # the spectrogram is scaled to -4..4
# Slaney's mel scale: linear below 1000 Hz, logarithmic above (Auditory Toolbox, 1998)
LINEAR_STEP_HZ, BREAK_HZ = 200 / 3, 1000.0
LOG_STEP = math.log(6.4) / 27


def syncnet_mel(waveform: Tensor) -> Tensor:
    """(samples,) float32 at 16 kHz -> (80, samples // 200 + 1) float32 in [-4, 4] (REFERENCE section 1).

    Window i of a clip begins at column int(80 * seconds of its first frame) and takes 52 columns.
    """
    emphasised = torch.cat([waveform[:1], waveform[1:] - PREEMPHASIS * waveform[:-1]])
    window = torch.hann_window(N_FFT, device=waveform.device)
    spectrum = torch.stft(emphasised, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True).abs()
    mel = mel_filters().to(waveform) @ spectrum
    floor = 10 ** (FLOOR_DB / 20)
    decibels = 20 * torch.log10(mel.clamp(min=floor)) - REFERENCE_DB
    scaled = 2 * LIMIT * (decibels - FLOOR_DB) / -FLOOR_DB - LIMIT
    return scaled.clamp(-LIMIT, LIMIT)


def mel_filters() -> Tensor:
    """(80, 401): triangles of equal area between 55 and 7600 Hz over the FFT's bins."""
    frequencies = torch.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1, dtype=torch.float64)
    low, high = hz_to_mel(LOWEST_HZ), hz_to_mel(HIGHEST_HZ)
    edges = torch.tensor([mel_to_hz(low + (high - low) * i / (MELS + 1)) for i in range(MELS + 2)], dtype=torch.float64)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]  # (80, 1)
    rising = (frequencies - left) / (centre - left)
    falling = (right - frequencies) / (right - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (right - left)).float()


def hz_to_mel(hz: float) -> float:
    """Slaney's mel number of a frequency."""
    if hz < BREAK_HZ:
        return hz / LINEAR_STEP_HZ
    return BREAK_HZ / LINEAR_STEP_HZ + math.log(hz / BREAK_HZ) / LOG_STEP


def mel_to_hz(mel: float) -> float:
    """The frequency of a mel number."""
    if mel < BREAK_HZ / LINEAR_STEP_HZ:
        return mel * LINEAR_STEP_HZ
    return BREAK_HZ * math.exp(LOG_STEP * (mel - BREAK_HZ / LINEAR_STEP_HZ))
