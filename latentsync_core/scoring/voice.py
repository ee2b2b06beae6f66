"""What a voice asks of a mouth: the shape that the embedded networks read off it, and how loud it is."""

from dataclasses import dataclass

import numpy as np

from ..audio import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, detect_voice, extract_features
from ..errors import LatentSyncError
from ..models.embedded import embedded_mouth_predictor, embedded_whisper
from ..progress import CheckCancelled, never_cancelled

LOUD_PERCENTILE = 95  # of the envelope of what is spoken, which counts as 1
DYNAMIC_RANGE_DB = 40.0  # below that, where the envelope is 0
STEP_SAMPLES = SAMPLE_RATE_HZ // FEATURE_RATE_HZ


@dataclass(frozen=True, eq=False)
class VoiceMouth:
    """A voice at the instants k / 50 s, (T,) each: the mouth it asks for, its level, and whether anybody speaks.

    opening 0..1, width -1..1 with 0 at rest and rounding 0..1 are read off by the embedded networks; loudness: 0..1,
    linear in dB.
    """

    opening: np.ndarray
    width: np.ndarray
    rounding: np.ndarray
    loudness: np.ndarray
    speech: np.ndarray

    def at(self, curve: str, times: np.ndarray) -> np.ndarray:
        """One of the curves at `times` (seconds); NaN outside the recording."""
        values = np.asarray(getattr(self, curve), float)
        found = np.interp(times, np.arange(len(values)) / FEATURE_RATE_HZ, values)
        return np.where((times >= 0) & (times <= len(values) / FEATURE_RATE_HZ), found, np.nan)


def voice_mouth(waveform: np.ndarray, name: str, check_cancelled: CheckCancelled = never_cancelled) -> VoiceMouth:
    """Read the mouth off a voice: float32 (samples,) mono at 16 kHz.

    name: of the recording, for the errors. Raises LatentSyncError for less than 20 ms, and where nobody speaks.
    """
    if not np.abs(waveform).max(initial=0):
        raise LatentSyncError(f"{name} is silent throughout; a recording in which somebody speaks is needed.")
    try:
        mouth = read_mouth(waveform, check_cancelled)
    except LatentSyncError as error:
        raise LatentSyncError(f"{name}: {error}") from error
    speech = detect_voice(waveform).speech
    if not speech.any():
        raise LatentSyncError(f"{name} holds no voice; a recording in which somebody speaks is needed.")
    opening, width, rounding = mouth.T
    loudness = loudness_curve(waveform, speech)
    steps = min(len(opening), len(speech))
    return VoiceMouth(*(curve[:steps] for curve in (opening, width, rounding, loudness, speech)))


def read_mouth(waveform: np.ndarray, check_cancelled: CheckCancelled = never_cancelled) -> np.ndarray:
    """The mouth (T, 3), as of `MouthPredictor.mouth`, at the instants k / 50 s of a voice (samples,) or other sound."""
    features = extract_features(waveform, embedded_whisper(), check_cancelled=check_cancelled)
    return embedded_mouth_predictor().mouth(features).numpy()


def loudness_curve(waveform: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """How loud a voice is around every instant k / 50 s, (T,): 1 at its loud level, 0 from 40 dB below it on."""
    steps = len(waveform) // STEP_SAMPLES
    centred = np.pad(np.asarray(waveform, np.float64), (STEP_SAMPLES // 2, 0))[: steps * STEP_SAMPLES]
    blocks = centred.reshape(steps, STEP_SAMPLES)
    level = 10 * np.log10((blocks**2).mean(axis=1) + 1e-12)
    loud = np.percentile(level[speech[:steps]], LOUD_PERCENTILE)
    return np.clip(1 + (level - loud) / DYNAMIC_RANGE_DB, 0, 1)
