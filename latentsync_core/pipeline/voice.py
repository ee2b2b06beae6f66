"""The voice of a run: its Whisper features, when it speaks, and how long it lasts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

from ..audio import (
    SAMPLE_RATE_HZ,
    Features,
    Keep,
    VoiceActivity,
    cached_features,
    delay_features,
    detect_voice,
    feature_key,
    feature_pieces,
    keep_on_disk,
    put_to_rest,
    silent_pieces,
)
from ..errors import LatentSyncError
from ..media import AudioInfo, check_voice
from ..models.whisper import WhisperEncoder
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from ..settings import Settings
from .timeline import Timeline

HEADER_TOLERANCE = Fraction(1, 500)  # seconds a header may differ from what is decoded, by resampling alone


@dataclass(frozen=True)
class Voice:
    """features: (T, L, D) as frames are given them, offset and rest included. activity: of the recording itself.
    seconds: of the recording. offset: milliseconds the mouth is late."""

    features: Features
    activity: VoiceActivity
    seconds: Fraction
    offset: float

    def gate(self, times: Sequence[Fraction]) -> np.ndarray:
        """How open the gate is for frames shown at `times`: float32 in 0..1, 1 where a voice is heard."""
        delay = Fraction(self.offset) / 1000
        return self.activity.gate([time - delay for time in times])


def encode_voice(
    info: AudioInfo,
    whisper: WhisperEncoder,
    settings: Settings,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
    keep: Keep = keep_on_disk,
) -> Voice:
    """Read the voice and encode it with Whisper; features come from the cache if it has them.

    keep: where they go, as a long voice's are more than memory should hold for as long as a run lasts.
    """
    waveform = info.waveform()
    check_voice(waveform, info.path)
    check_cancelled()
    activity = detect_voice(waveform)

    def encoded() -> Iterator[Tensor]:
        try:
            yield from feature_pieces(
                waveform, whisper, settings.joins, on_progress=on_progress, check_cancelled=check_cancelled
            )
        except LatentSyncError as error:
            raise LatentSyncError(f"{info.path}: {error}") from error

    def silence() -> Iterator[Tensor]:
        check_cancelled()
        return silent_pieces(waveform, whisper, settings.joins)

    if settings.cache is None:
        features = keep(encoded())
    else:
        features = cached_features(settings.cache, feature_key(waveform, whisper, settings.joins), encoded, keep)
    if settings.silence == "rest":
        features = put_to_rest(features, silence, activity.step_gate(), keep)
    features = delay_features(features, settings.offset, keep)
    return Voice(features, activity, voice_length(info, len(waveform)), settings.offset)


def voice_length(info: AudioInfo, samples_16k: int) -> Fraction:
    """Seconds of voice: by the header, which is exact, unless decoding found another length."""
    decoded = Fraction(samples_16k, SAMPLE_RATE_HZ)
    stated = Fraction(info.samples, info.sample_rate) if info.samples else decoded
    return stated if abs(stated - decoded) < HEADER_TOLERANCE else decoded


def describe_voice(voice: Voice, settings: Settings, timeline: Timeline) -> dict[str, Any]:
    """For the report: seconds, silences as [start, end] in seconds, and the gate's curve over the output frames.

    The curve is a list of [frame, value]; straight lines between these points give every frame's value.
    """
    return {
        "seconds": float(voice.seconds),
        "silence": settings.silence,
        "silences": voice.activity.silences,
        "gate": curve_points(np.round(voice.gate(timeline.times), 3)),
    }


def curve_points(values: np.ndarray) -> list[list[float]]:
    """The points [index, value] of a curve without those inside a level stretch."""
    changes = np.diff(values) != 0
    kept = np.concatenate(([True], changes)) | np.concatenate((changes, [True]))
    return [[int(index), float(f"{values[index]:.3f}")] for index in np.flatnonzero(kept)]
