"""Where a recording holds a voice and where it is silent: energy and spectral flatness over a noise floor that adapts.

A classic detector without learned weights (ITU-T G.729 annex B uses the same two features).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from ..intervals import runs_of
from .features import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FEATURE

WINDOW_SAMPLES = 512  # 32 ms at 16 kHz
LOWEST_HZ, HIGHEST_HZ = 150, 7000  # excludes DC, rumble and mains hum
STEPS_AT_ONCE = 3000  # 60 s: the spectra of a long voice are never all in memory
FLOOR_STEPS = 301  # 6 s in which the quietest 0.1 s is taken for the noise
LEVEL_STEPS = 501  # 10 s in which the loudest 0.1 s is taken for the voice
SMOOTHED_STEPS = 5
DYNAMIC_RANGE_DB = 50.0  # below the voice's level: the lowest noise floor assumed
QUIETER_SPEAKER_DB = 25.0  # how far one speaker may be below the loudest
LEAST_RANGE_DB = 6.0  # of level over floor; in a steadier sound voice and noise cannot be separated
OPENING, CLOSING = 0.3, 0.18  # scores: the share of the way from the floor to the level
FLATNESS_SHARE = 0.15  # added to the score by a spectrum much less flat than the noise
CLICK_STEPS = 4  # 80 ms: a shorter sound is no speech
DIP_STEPS = 5  # 100 ms: a shorter dip belongs to a sound (the closure of a stop)
SILENCE_STEPS = 15  # 300 ms: a shorter one is a pause between words
LEAD_SECONDS, HANG_SECONDS = 0.1, 0.1  # the mouth moves before the sound and comes to rest after it
FADE_SECONDS = 0.16  # over which the gate opens and closes


@dataclass(frozen=True)
class VoiceActivity:
    """Whether there is a voice at each step of 20 ms: speech (T,) bool; pauses between words count as speech."""

    speech: np.ndarray

    @property
    def silences(self) -> list[tuple[float, float]]:
        """Start and end of every silence in seconds."""
        return [(first / FEATURE_RATE_HZ, stop / FEATURE_RATE_HZ) for first, stop in runs_of(~self.speech)]

    def gate(self, times: Sequence[Fraction | float] | np.ndarray) -> np.ndarray:
        """How open the gate is at `times` (seconds of the voice): float32 in 0..1, 1 where there is a voice.

        It closes 0.1 s after a voice and opens 0.1 s before one, over 0.16 s with a continuous slope. There is
        none before the start or after the end of the recording; a short silence at either end counts with the silence
        beyond it.
        """
        times = np.asarray([float(time) for time in times])
        depth = np.full(len(times), np.inf)  # seconds into a silence, from its nearer end
        edges = np.array(runs_of(self.speech), float).reshape(-1, 2) / FEATURE_RATE_HZ
        for start, stop in edges:
            depth = np.minimum(depth, np.maximum(start - LEAD_SECONDS - times, times - stop - HANG_SECONDS))
        closed = np.clip(depth / FADE_SECONDS, 0.0, 1.0)
        return (1 - closed * closed * (3 - 2 * closed)).astype(np.float32)

    def step_gate(self) -> np.ndarray:
        """The gate at the middle of every step, (T,)."""
        return self.gate((np.arange(len(self.speech)) + 0.5) / FEATURE_RATE_HZ)


def detect_voice(waveform: np.ndarray) -> VoiceActivity:
    """Find the voice in a recording: float32 (samples,) mono at 16 kHz -> VoiceActivity, T = samples // 320.

    A sound scores by where it lies between the floor (the quietest in 6 s around it) and the level (the loudest in
    10 s), and by how much less flat its spectrum is than the noise's; two thresholds give the decision hysteresis.
    Only a silence of 0.3 s or more counts. Gain does not matter; noise is separated while it is 5 dB below the voice.
    """
    energy, flatness = spectral_features(np.asarray(waveform, np.float32))
    if not len(energy):
        return VoiceActivity(np.zeros(0, bool))
    score = voice_score(energy, flatness)
    speech = opened(score)
    speech = without_short(speech, DIP_STEPS, within=False, at_ends=True)
    speech = without_short(speech, CLICK_STEPS, within=True, at_ends=True)
    return VoiceActivity(without_short(speech, SILENCE_STEPS, within=False, at_ends=False))


def spectral_features(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy in dB and spectral flatness in 0..1 of the voice's band for every step of 20 ms, both (T,) float64.

    Flatness is the geometric mean of the power spectrum over its arithmetic mean: near 0 for a tone, 0.56 for noise.
    """
    steps = len(waveform) // SAMPLES_PER_FEATURE
    taper = np.hanning(WINDOW_SAMPLES)
    low, high = (round(hz * WINDOW_SAMPLES / SAMPLE_RATE_HZ) for hz in (LOWEST_HZ, HIGHEST_HZ))
    energy, flatness = np.empty(steps), np.empty(steps)
    for start in range(0, steps, STEPS_AT_ONCE):
        part = slice(start, min(start + STEPS_AT_ONCE, steps))
        windows = windows_of(waveform, part)
        spectrum = np.fft.rfft((windows - windows.mean(axis=1, keepdims=True)) * taper, axis=1)
        power = np.abs(spectrum[:, low:high]) ** 2 + 1e-12  # (steps, bins)
        mean = power.mean(axis=1)
        energy[part] = 10 * np.log10(mean)
        flatness[part] = np.exp(np.log(power).mean(axis=1)) / mean
    return energy, flatness


def windows_of(waveform: np.ndarray, steps: slice) -> np.ndarray:
    """The samples around each of some steps, (steps, 512); silence beyond the recording's ends."""
    before = (WINDOW_SAMPLES - SAMPLES_PER_FEATURE) // 2
    first = steps.start * SAMPLES_PER_FEATURE - before
    stop = (steps.stop - 1) * SAMPLES_PER_FEATURE - before + WINDOW_SAMPLES
    padded = np.pad(waveform[max(first, 0) : stop], (max(-first, 0), max(stop - len(waveform), 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::SAMPLES_PER_FEATURE]


def voice_score(energy: np.ndarray, flatness: np.ndarray) -> np.ndarray:
    """The score of a voice at each step (T,): about 0 in the noise, about 1 at the voice's level."""
    smooth = uniform_filter1d(energy, SMOOTHED_STEPS, mode="nearest")
    level = maximum_filter1d(smooth, LEVEL_STEPS, mode="nearest")
    level = np.maximum(level, smooth.max() - QUIETER_SPEAKER_DB)
    floor = np.maximum(minimum_filter1d(smooth, FLOOR_STEPS, mode="nearest"), level - DYNAMIC_RANGE_DB)
    reach = level - floor
    noise = np.median(flatness[smooth < floor + 0.1 * reach + 1])
    tonality = np.clip(1 - flatness / noise, -1, 1)
    score = (energy - floor) / np.maximum(reach, LEAST_RANGE_DB) + FLATNESS_SHARE * tonality
    return np.where(reach < LEAST_RANGE_DB, 1.0, score)


def opened(score: np.ndarray) -> np.ndarray:
    """Hysteresis: steps above CLOSING in one interval with one above OPENING, (T,) bool."""
    likely = score >= CLOSING
    for first, stop in runs_of(likely):
        if score[first:stop].max() < OPENING:
            likely[first:stop] = False
    return likely


def without_short(speech: np.ndarray, steps: int, within: bool, at_ends: bool) -> np.ndarray:
    """The same without runs of `within` (True: speech, False: silence) shorter than `steps`.

    at_ends: also where they touch the start or the end of the recording; silence there continues outside.
    """
    speech = speech.copy()
    for first, stop in runs_of(speech == within):
        if stop - first < steps and (at_ends or (first > 0 and stop < len(speech))):
            speech[first:stop] = not within
    return speech
