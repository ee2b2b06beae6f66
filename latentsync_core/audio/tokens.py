"""The audio tokens of each video frame: ten feature steps around its time, for cross-attention."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from einops import rearrange
from torch import Tensor

from ..errors import LatentSyncError
from ..options import check_offset
from .feature_file import Features, Keep, join_pieces, spans, take
from .features import FEATURE_RATE_HZ
from .positions import encode_positions

STEPS_BEFORE = 4  # feature steps (20 ms) before the frame's time
STEPS_AFTER = 5
STEPS_PER_FRAME = STEPS_BEFORE + 1 + STEPS_AFTER
ZEROS = -1  # in place of a step: zeros, where there is no voice

Rate = Fraction | float | int


def window_indices(length: int, fps: Rate, frames: int) -> Tensor:
    """Feature steps attended to by each of `frames` frames shown at a constant rate (REFERENCE section 1).

    length: feature steps there are (50 Hz). fps: frames per second. Returns (frames, 10) int64 in 0..length-1:
    centre - 4 to centre + 5 with centre = int(i * 50 / fps), clamped at both ends of the voice.
    """
    return indices_around(length, [int(i * FEATURE_RATE_HZ / fps) for i in range(frames)])


def indices_at(length: int, times: Sequence[Fraction | float]) -> Tensor:
    """The same for frames shown at `times` (seconds), whatever their spacing."""
    return indices_around(length, [int(time * FEATURE_RATE_HZ) for time in times])


def indices_around(length: int, centres: Sequence[int]) -> Tensor:
    """(frames, 10) steps around each centre step, clamped to 0..length-1."""
    offsets = torch.arange(-STEPS_BEFORE, STEPS_AFTER + 1)
    centre = torch.tensor(centres, dtype=torch.int64)[:, None]
    return (centre + offsets).clamp(0, length - 1)


def musetalk_indices(length: int, fps: Rate, frames: int, reference: bool = False) -> Tensor:
    """Feature steps that MuseTalk attends to in each of `frames` frames at a constant rate (REFERENCE section 2).

    length: feature steps there are (50 Hz). fps: frames per second. Returns (frames, 10) int64 in -1..length-1; -1
    stands for a step of zeros, before the voice begins and after it ends. The ten steps are centre - 4 to centre + 5
    with centre = int(i * 50 / fps), as in training (25 frames per second). reference: as its scripts do, which round
    the rate down and begin 2 * ceil(50 / fps) steps before the centre; frames of 23.976 Hz then drift by 4 %.
    Raises LatentSyncError where a rate is rounded down to nothing.
    """
    if not reference:
        return zeros_outside(length, [int(i * FEATURE_RATE_HZ / fps) for i in range(frames)], STEPS_BEFORE)
    whole = int(fps)
    if whole < 1:
        raise LatentSyncError(
            f"MuseTalk's scripts round {float(fps):g} frames per second down to {whole}; at least 1 is needed, or the "
            f"true rate."
        )
    centres = [math.floor(i * (FEATURE_RATE_HZ / whole)) for i in range(frames)]
    return zeros_outside(length, centres, 2 * math.ceil(FEATURE_RATE_HZ / whole))


def musetalk_indices_at(length: int, times: Sequence[Fraction | float]) -> Tensor:
    """`musetalk_indices` for frames shown at `times` (seconds), whatever their spacing."""
    return zeros_outside(length, [int(time * FEATURE_RATE_HZ) for time in times], STEPS_BEFORE)


def zeros_outside(length: int, centres: Sequence[int], before: int) -> Tensor:
    """(frames, 10) steps from `before` each centre on, -1 where there is none in 0..length-1."""
    first = torch.tensor(centres, dtype=torch.int64)[:, None] - before
    steps = first + torch.arange(STEPS_PER_FRAME)
    return steps.masked_fill((steps < 0) | (steps >= length), ZEROS)


def delay_features(features: Features, offset_ms: float, keep: Keep = join_pieces) -> Features:
    """(T, L, D) features of a voice as if it began `offset_ms` later; before it begins its first step repeats.

    The mouth then moves `offset_ms` later than the sound; below 0, earlier. Whole steps of 20 ms are exact, between
    two steps the features are interpolated linearly. Returns as many steps more (or fewer) as needed.
    keep: where the result is stored.
    """
    check_offset(offset_ms)
    steps = Fraction(offset_ms) * FEATURE_RATE_HZ / 1000
    return keep(delayed(features, steps)) if steps else features


def delayed(features: Features, steps: Fraction) -> Iterator[Tensor]:
    """The same by a number of steps, piece by piece."""
    whole, part = math.floor(steps), float(steps % 1)
    last = len(features) - 1
    for span in spans(max(len(features) + math.ceil(steps), 1)):
        index = torch.arange(span.start, span.stop) - whole
        piece = take(features, index.clamp(0, last))
        yield torch.lerp(piece, take(features, (index - 1).clamp(0, last)), part) if part else piece


def gather_tokens(features: Features, indices: Tensor) -> Tensor:
    """(T, L, D) features and (frames, 10) steps, -1 = zeros -> (frames, 10 * L, D) tokens, steps outermost."""
    taken = take(features, indices.clamp(min=0))  # (f, s, l, d)
    taken = taken.masked_fill((indices == ZEROS)[:, :, None, None], 0)
    return rearrange(taken, "f s l d -> f (s l) d")


def frame_tokens(features: Features, fps: Rate, frames: int) -> Tensor:
    """The audio tokens of every frame at a constant rate: (T, L, D) features -> (frames, 10 * L, D)."""
    return gather_tokens(features, window_indices(len(features), fps, frames))


@dataclass(frozen=True)
class AudioTokens:
    """A clip's tokens, gathered on access: a minute of them would take 600 MB, its features take 23.

    features: (T, L, D) float32. indices: (frames, 10), -1 = zeros. positions: whether position encoding is added.
    ``tokens[a:b]`` is (b - a, 10 * L, D).
    """

    features: Features
    indices: Tensor
    positions: bool = False

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, frames: slice) -> Tensor:
        tokens = gather_tokens(self.features, self.indices[frames])
        return encode_positions(tokens, "on" if self.positions else "off")
