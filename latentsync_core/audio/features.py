"""From a waveform to what Whisper hears 50 times a second, without the reference's glitch every 30 seconds."""

import math
from collections.abc import Callable

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
MEL_RANGE = 2.0  # of the normalised log-mel: 80 dB from a recording's peak to its floor
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

    def encode(block: Tensor) -> Tensor:
        check_cancelled()
        return _encode_block(block, encoder)

    return _join_blocks(log_mel(waveform, encoder.n_mels), encoder, joins, encode, on_progress)


@torch.inference_mode()
def silent_features(waveform: Tensor, encoder: WhisperEncoder, joins: str = "overlap") -> Tensor:
    """What `extract_features` would give if all of the recording were silent, each step at its own place in a block.

    Whisper hears loudness from a recording's own peak down to 80 dB below it. Silence is that floor: what digital
    silence is between the words of this very recording. Shapes and errors as in extract_features.
    """
    mel = log_mel(waveform, encoder.n_mels)
    silence = torch.full_like(mel, float(mel.max()) - MEL_RANGE)
    encoded: dict[int, Tensor] = {}  # silent blocks of one length are all alike

    def encode(block: Tensor) -> Tensor:
        if block.shape[1] not in encoded:
            encoded[block.shape[1]] = _encode_block(block, encoder)
        return encoded[block.shape[1]]

    return _join_blocks(silence, encoder, joins, encode, ignore_progress)


def log_mel(waveform: Tensor, n_mels: int) -> Tensor:
    """Whisper's log-mel spectrogram of a recording (samples,) at 16 kHz: (n_mels, samples // 160)."""
    waveform = torch.as_tensor(waveform, dtype=torch.float32)
    if waveform.dim() != 1:
        raise ValueError(f"waveform has shape {tuple(waveform.shape)}, (samples,) is needed")
    if len(waveform) < SAMPLES_PER_FEATURE:
        raise LatentSyncError(
            f"The voice has {len(waveform)} samples at 16 kHz; at least {SAMPLES_PER_FEATURE} (20 ms) are needed."
        )
    return log_mel_spectrogram(waveform, n_mels=n_mels)  # the floor is over the whole clip


def block_starts(mel_frames: int, block: int, joins: str) -> list[int]:
    """First mel frame of every block; overlapping blocks are spread evenly and end exactly with the clip."""
    if joins == "reference" or mel_frames <= block:
        return list(range(0, mel_frames, block))
    count = math.ceil((mel_frames - MIN_OVERLAP_MEL) / (block - MIN_OVERLAP_MEL))
    last = mel_frames - block
    even = [index * last / (count - 1) / MEL_PER_FEATURE for index in range(count)]
    return [MEL_PER_FEATURE * math.floor(start) for start in even]


def _join_blocks(
    mel: Tensor, encoder: WhisperEncoder, joins: str, encode: Callable[[Tensor], Tensor], on_progress: OnProgress
) -> Tensor:
    """(n_mels, m) -> (m // 2, layers, width): encoded block by block, neighbours fading into one another."""
    if joins not in JOINS:
        raise LatentSyncError(f"Joins {joins!r} are unknown; choose one of {', '.join(JOINS)}.")
    block_mel = MEL_PER_FEATURE * encoder.n_ctx
    starts = block_starts(mel.shape[1], block_mel, joins)
    features = torch.zeros(mel.shape[1] // MEL_PER_FEATURE, encoder.layers, encoder.width)
    covered = 0
    for index, start in enumerate(starts):
        block = encode(mel[:, start : start + block_mel])
        begin = start // MEL_PER_FEATURE
        covered = _fade_in(features, block[: len(features) - begin], begin, covered)
        on_progress(index + 1, len(starts))
    return features


def _encode_block(mel: Tensor, encoder: WhisperEncoder) -> Tensor:
    """(n_mels, m) -> (m // 2, layers, width): zero-padded to a whole block, cut back to its real length."""
    length = mel.shape[1] // MEL_PER_FEATURE
    padded = F.pad(mel, (0, MEL_PER_FEATURE * encoder.n_ctx - mel.shape[1])).to(encoder.conv1.weight)
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
