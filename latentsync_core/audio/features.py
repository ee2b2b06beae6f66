"""From a waveform to what Whisper hears 50 times a second, without the reference's glitch every 30 seconds."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from whisper.audio import log_mel_spectrogram

from ..choices import JOINS
from ..errors import LatentSyncError
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .whisper_encoder import WhisperEncoder

SAMPLE_RATE_HZ = 16_000
FEATURE_RATE_HZ = 50
SAMPLES_PER_FEATURE = SAMPLE_RATE_HZ // FEATURE_RATE_HZ
MEL_PER_FEATURE = 2  # mel frames (10 ms) per feature step (20 ms)
MIN_OVERLAP_MEL = 500  # 5 s shared by neighbouring blocks, over which one fades into the other


@torch.inference_mode()
def extract_features(
    waveform: Tensor,
    encoder: WhisperEncoder,
    joins: str = "overlap",
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Tensor:
    """Encode a waveform with Whisper, block by block of 30 s (REFERENCE section 1, "Audio features").

    waveform: (samples,) float32 in [-1, 1], 16 kHz mono (numpy or torch).
    joins: "reference" encodes blocks side by side, as published, which leaves a step in the features every 30 s;
    "overlap" lets neighbouring blocks share at least 5 s and fades between them. Up to 30 s both are the same.
    Returns (T, layers, width) float32 on the CPU, T = samples // 320, at 50 Hz.
    Raises LatentSyncError for an unknown mode or less than 20 ms of sound.
    """
    if joins not in JOINS:
        raise LatentSyncError(f"Joins {joins!r} are unknown; choose one of {', '.join(JOINS)}.")
    waveform = torch.as_tensor(waveform, dtype=torch.float32)
    if waveform.dim() != 1:
        raise ValueError(f"waveform has shape {tuple(waveform.shape)}, (samples,) is needed")
    steps = len(waveform) // SAMPLES_PER_FEATURE
    if steps == 0:
        raise LatentSyncError(
            f"The voice has {len(waveform)} samples at 16 kHz; at least {SAMPLES_PER_FEATURE} (20 ms) are needed."
        )
    mel = log_mel_spectrogram(waveform, n_mels=encoder.n_mels)  # (n_mels, samples // 160), floor over the whole clip
    block_mel = MEL_PER_FEATURE * encoder.n_ctx
    starts = block_starts(mel.shape[1], block_mel, joins)
    features = torch.zeros(steps, encoder.layers, encoder.width)
    covered = 0
    for index, start in enumerate(starts):
        check_cancelled()
        block = _encode_block(mel[:, start : start + block_mel], encoder, block_mel)
        begin = start // MEL_PER_FEATURE
        covered = _fade_in(features, block[: steps - begin], begin, covered)
        on_progress(index + 1, len(starts))
    return features


def block_starts(mel_frames: int, block: int, joins: str) -> list[int]:
    """First mel frame of every block; overlapping blocks are spread evenly and end exactly with the clip."""
    if joins == "reference" or mel_frames <= block:
        return list(range(0, mel_frames, block))
    count = math.ceil((mel_frames - MIN_OVERLAP_MEL) / (block - MIN_OVERLAP_MEL))
    last = mel_frames - block
    even = [index * last / (count - 1) / MEL_PER_FEATURE for index in range(count)]
    return [MEL_PER_FEATURE * math.floor(start) for start in even]


def _encode_block(mel: Tensor, encoder: WhisperEncoder, block_mel: int) -> Tensor:
    """(n_mels, m) -> (m // 2, layers, width): zero-padded to a whole block, cut back to its real length."""
    length = mel.shape[1] // MEL_PER_FEATURE
    padded = F.pad(mel, (0, block_mel - mel.shape[1])).to(encoder.conv1.weight)
    return encoder(padded[None])[0, :length].float().cpu()


def _fade_in(features: Tensor, block: Tensor, begin: int, covered: int) -> int:
    """Write `block` at `begin`, cross-fading over the steps already `covered`; returns the new covered length."""
    end = begin + len(block)
    shared = max(covered - begin, 0)
    if shared:
        # Raised cosine: neither the features nor their slope jump where a fade begins or ends.
        phase = (torch.arange(shared) + 0.5) / shared
        weight = (0.5 - 0.5 * torch.cos(math.pi * phase))[:, None, None]
        features[begin:covered] = torch.lerp(features[begin:covered], block[:shared], weight)
    features[covered:end] = block[shared:]
    return end
