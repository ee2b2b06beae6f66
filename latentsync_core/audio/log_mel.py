"""Whisper's log-mel spectrogram of a recording of any length, computed a minute at a time."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import LatentSyncError

SAMPLE_RATE = 16_000  # Hz
N_FFT = 400  # samples of a spectrum
HOP_LENGTH = 160  # samples between two spectra
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH
FRAMES_AT_ONCE = 60 * FRAMES_PER_SECOND  # the spectra of a long voice would take several times its memory
QUIETEST = 1e-10  # floor of the power, so that its logarithm is finite
MEL_RANGE = 2.0  # of the normalised log-mel: 80 dB from a recording's peak to its floor


def log_mel(waveform: Tensor, n_mels: int) -> Tensor:
    """As whisper.audio.log_mel_spectrogram gives it for a recording (samples,) float32 at 16 kHz.

    Returns (n_mels, samples // 160) float32. The floor is 80 dB below the loudest point of the whole recording, so
    no value is final before all of it has been read.
    """
    frames = len(waveform) // HOP_LENGTH
    filters, window = mel_filters(n_mels).to(waveform.device), torch.hann_window(N_FFT, device=waveform.device)
    mel = torch.empty(n_mels, frames, device=waveform.device)
    for start in range(0, frames, FRAMES_AT_ONCE):
        stop = min(start + FRAMES_AT_ONCE, frames)
        spectrum = torch.stft(
            around_frames(waveform, start, stop), N_FFT, HOP_LENGTH, window=window, center=False, return_complex=True
        )
        mel[:, start:stop] = (filters @ spectrum.abs() ** 2).clamp(min=QUIETEST).log10()
    # 80 dB are 8 on the log10 of power, and 2 on the scale on which Whisper was trained.
    mel = torch.maximum(mel, mel.max() - 4 * MEL_RANGE, out=mel)
    return mel.add_(4).div_(4)


@lru_cache(maxsize=2)
def mel_filters(n_mels: int) -> Tensor:
    """(n_mels, 201) float32: weights of each frequency in 80 or 128 bands, from openai-whisper's own file.

    The package itself is not imported: its transcription would come along, and a compiler with that. Raises
    LatentSyncError where openai-whisper is not installed.
    """
    package = find_spec("whisper")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    files = [path for folder in folders if (path := Path(folder) / "assets" / "mel_filters.npz").is_file()]
    if not files:
        raise LatentSyncError(
            f"The mel filters of openai-whisper were not found (looked in {', '.join(folders) or 'no package'}); "
            "install it with: pip install openai-whisper"
        )
    with np.load(files[0], allow_pickle=False) as bands:
        return torch.from_numpy(bands[f"mel_{n_mels}"])


def around_frames(waveform: Tensor, start: int, stop: int) -> Tensor:
    """The samples under the windows of the frames `start` to `stop`; beyond its ends the recording is mirrored."""
    first, last = start * HOP_LENGTH - N_FFT // 2, (stop - 1) * HOP_LENGTH + N_FFT // 2
    inside = waveform[max(first, 0) : last]
    return F.pad(inside[None], (max(-first, 0), max(last - len(waveform), 0)), mode="reflect")[0]
