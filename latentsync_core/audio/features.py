"""From a waveform to Whisper's features at 50 Hz, without the reference's discontinuity every 30 seconds.

Whisper encodes blocks of 30 s. Option values call the boundaries between them `joins`.
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import LatentSyncError
from ..options import JOINS
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .encoder import AudioEncoder
from .feature_file import join_pieces
from .log_mel import FRAMES_PER_SECOND, MEL_RANGE, log_mel

SAMPLE_RATE_HZ = 16_000
FEATURE_RATE_HZ = 50
SAMPLES_PER_FEATURE = SAMPLE_RATE_HZ // FEATURE_RATE_HZ
MEL_PER_FEATURE = FRAMES_PER_SECOND // FEATURE_RATE_HZ
MIN_OVERLAP_MEL = 500  # 5 s of overlap between neighbouring blocks, over which they are cross-faded


def extract_features(
    waveform: Tensor,
    encoder: AudioEncoder,
    joins: str = "overlap",
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Tensor:
    """Encode a waveform with Whisper, block by block of 30 s (REFERENCE section 1, "Audio features").

    Args:
        waveform: (samples,) float32 in [-1, 1], 16 kHz mono (numpy or torch).
        encoder: Whisper's, in any precision and on any device.
        joins: "reference" encodes adjacent blocks, as published, which leaves a step in the features every 30 s;
            "overlap" lets neighbouring blocks overlap by at least 5 s and cross-fades them. Up to 30 s both are equal.
        on_progress: counts blocks.
        check_cancelled: called before each block.
    Returns (T, layers, width) float32 on the CPU, T = samples // 320, at 50 Hz.
    Raises LatentSyncError for an unknown mode or less than 20 ms of sound.
    """
    pieces = feature_pieces(waveform, encoder, joins, on_progress=on_progress, check_cancelled=check_cancelled)
    return join_pieces(pieces)


@torch.inference_mode()
def feature_pieces(
    waveform: Tensor,
    encoder: AudioEncoder,
    joins: str = "overlap",
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Iterator[Tensor]:
    """The features of extract_features piece by piece, for a voice whose features should not all be in memory.

    Args:
        waveform, encoder, joins, on_progress, check_cancelled: as of extract_features, which says what is raised.
    Yields (any number, layers, width) float32 on the CPU.
    """

    def encode(block: Tensor) -> Tensor:
        check_cancelled()
        return _encode_block(block, encoder, fill)

    mel = _spectrogram(waveform, encoder)
    fill = _fill(mel, encoder)
    yield from _joined_blocks(mel, encoder, joins, encode=encode, on_progress=on_progress)


@torch.inference_mode()
def silent_pieces(waveform: Tensor, encoder: AudioEncoder, joins: str = "overlap") -> Iterator[Tensor]:
    """What `feature_pieces` would give if all of the recording were silent, each step at its own position in a block.

    Whisper's spectrogram spans 80 dB below a recording's own peak. Silence is that floor: the value that digital
    silence has between the words of the same recording. Shapes and errors as in extract_features.
    """
    mel = _spectrogram(waveform, encoder)
    silence = _silence(mel).expand_as(mel)
    fill = _fill(mel, encoder)
    encoded: dict[int, Tensor] = {}  # silent blocks of one length are equal

    def encode(block: Tensor) -> Tensor:
        if block.shape[1] not in encoded:
            encoded[block.shape[1]] = _encode_block(block, encoder, fill)
        return encoded[block.shape[1]]

    yield from _joined_blocks(silence, encoder, joins, encode=encode, on_progress=ignore_progress)


def _spectrogram(waveform: Tensor, encoder: AudioEncoder) -> Tensor:
    """The log-mel spectrogram (n_mels, m) that `encoder` takes."""
    waveform = torch.as_tensor(waveform, dtype=torch.float32)
    if waveform.dim() != 1:
        raise ValueError(f"waveform has shape {tuple(waveform.shape)}, (samples,) is needed")
    if len(waveform) < SAMPLES_PER_FEATURE:
        raise LatentSyncError(
            f"The voice has {len(waveform)} samples at 16 kHz; at least {SAMPLES_PER_FEATURE} (20 ms) are needed."
        )
    return log_mel(waveform, encoder.n_mels)


def block_starts(mel_frames: int, block: int, joins: str) -> list[int]:
    """First mel frame of every block; overlapping blocks are spread evenly and end exactly with the clip."""
    if joins == "reference" or mel_frames <= block:
        return list(range(0, mel_frames, block))
    count = math.ceil((mel_frames - MIN_OVERLAP_MEL) / (block - MIN_OVERLAP_MEL))
    last = mel_frames - block
    even = [index * last / (count - 1) / MEL_PER_FEATURE for index in range(count)]
    return [MEL_PER_FEATURE * math.floor(start) for start in even]


def _joined_blocks(
    mel: Tensor, encoder: AudioEncoder, joins: str, *, encode: Callable[[Tensor], Tensor], on_progress: OnProgress
) -> Iterator[Tensor]:
    """(n_mels, m) -> pieces of (m // 2, layers, width): encoded block by block, neighbours cross-faded."""
    if joins not in JOINS:
        raise LatentSyncError(f"Joins {joins!r} are unknown; choose one of {', '.join(JOINS)}.")
    block_mel, length = MEL_PER_FEATURE * encoder.n_ctx, mel.shape[1] // MEL_PER_FEATURE
    starts = block_starts(mel.shape[1], block_mel, joins)
    begins = [start // MEL_PER_FEATURE for start in starts]
    before = None  # features already encoded from the start of the next block on
    for index, (begin, following) in enumerate(zip(begins, [*begins[1:], length], strict=True)):
        block = encode(mel[:, starts[index] : starts[index] + block_mel])[: length - begin]
        block = block if before is None else _cross_faded(before, block)
        on_progress(index + 1, len(starts))
        yield block[: following - begin]
        before = block[following - begin :]


def _silence(mel: Tensor) -> Tensor:
    """The value of silence in a recording's spectrogram: its floor."""
    return mel.max() - MEL_RANGE


def _fill(mel: Tensor, encoder: AudioEncoder) -> float:
    """What follows a recording in its last block: LatentSync was trained with zeros there, MuseTalk with silence."""
    return float(_silence(mel)) if encoder.generator == "musetalk" else 0.0


def _encode_block(mel: Tensor, encoder: AudioEncoder, fill: float) -> Tensor:
    """(n_mels, m) -> (m // 2, layers, width): filled up to a whole block, then trimmed to its own length."""
    length = mel.shape[1] // MEL_PER_FEATURE
    missing = MEL_PER_FEATURE * encoder.n_ctx - mel.shape[1]
    padded = F.pad(mel, (0, missing), value=fill).to(encoder.conv1.weight)
    return encoder(padded[None])[0, :length].float().cpu()


def _cross_faded(before: Tensor, block: Tensor) -> Tensor:
    """`block` with its first steps cross-faded from `before`, the previous block's features of the same steps."""
    shared = len(before)
    # Raised cosine: the features and their slope are continuous where a fade begins and ends.
    phase = (torch.arange(shared) + 0.5) / shared
    weight = (0.5 - 0.5 * torch.cos(math.pi * phase))[:, None, None]
    return torch.cat((torch.lerp(before, block[:shared], weight), block[shared:]))
