"""The motion of a mouth from timed phonemes, frame by frame: opening, width and rounding.

The opening follows the sound: open vowels open the mouth, close vowels hardly, p b m and silence close it. Neighbouring
phonemes are blended (coarticulation, after Cohen and Massaro's dominance functions, 1993) with symmetric weights, so
that the mouth neither leads nor lags the sound.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ...audio import SAMPLE_RATE_HZ
from ...audio.espeak import Phoneme, Speech

RATE_HZ = 200  # of the inner time grid
BLEND_SECONDS = 0.032  # standard deviation of the blending weights
CLOSURE_SECONDS = 0.020  # of a bilabial's closing and opening
LOUDNESS_SECONDS = 0.025
SILENT, SPOKEN = 0.03, 0.2  # of the speech's own loud level: closed below, unrestricted above
LOUD_LEVEL = 90  # percentile of the loudness of what is not silence
VOWEL, CONSONANT, LABIAL, LOOSE, PAUSE = range(5)
CLASSES = ("pause", "open vowel", "mid vowel", "close vowel", "rounded vowel", "labial", "sibilant", "other consonant")
WEIGHTS = {VOWEL: 1.0, CONSONANT: 0.8, LABIAL: 2.0, LOOSE: 0.35, PAUSE: 0.8}


@dataclass(frozen=True)
class Viseme:
    """A mouth position: opening 0..1, width -1..1 (0 at rest), rounding 0..1; its kind; its class in CLASSES."""

    opening: float
    width: float
    rounding: float
    kind: int
    label: int


def _vowels(symbols: str, opening: float, width: float, rounding: float, label: int) -> dict[str, Viseme]:
    return {symbol: Viseme(opening, width, rounding, VOWEL, label) for symbol in symbols}


def _consonants(symbols: str, opening: float, width: float, rounding: float, kind: int, label: int) -> dict:
    return {symbol: Viseme(opening, width, rounding, kind, label) for symbol in symbols}


CLOSED = Viseme(0.0, 0.0, 0.0, PAUSE, 0)
VISEMES = {
    **_vowels("aɑä", 1.0, 0.1, 0.0, 1),
    **_vowels("æ", 0.9, 0.4, 0.0, 1),
    **_vowels("ɐʌ", 0.78, 0.1, 0.0, 1),
    **_vowels("ɒɔ", 0.70, -0.3, 0.5, 4),
    **_vowels("ɛ", 0.62, 0.4, 0.0, 2),
    **_vowels("œɞ", 0.52, -0.3, 0.6, 4),
    **_vowels("eəɜɚɝɘ", 0.45, 0.3, 0.0, 2),
    **_vowels("o", 0.48, -0.5, 0.8, 4),
    **_vowels("øɵɤ", 0.38, -0.5, 0.8, 4),
    **_vowels("ɪɨ", 0.30, 0.5, 0.0, 3),
    **_vowels("i", 0.24, 0.8, 0.0, 3),
    **_vowels("ʊ", 0.28, -0.6, 0.8, 4),
    **_vowels("uʉɯyʏ", 0.20, -0.8, 1.0, 4),
    **_consonants("pbm", 0.0, 0.0, 0.0, LABIAL, 5),
    **_consonants("fvɱ", 0.06, 0.1, 0.0, CONSONANT, 5),
    **_consonants("βʋ", 0.10, 0.0, 0.2, CONSONANT, 5),
    **_consonants("wʍɥ", 0.12, -0.7, 0.9, CONSONANT, 4),
    **_consonants("szθðɬ", 0.13, 0.4, 0.0, CONSONANT, 6),
    **_consonants("ʃʒɕʑʂʐ", 0.16, -0.3, 0.6, CONSONANT, 6),
    **_consonants("tdnlɾrɫ", 0.18, 0.2, 0.0, CONSONANT, 7),
    **_consonants("jçʎɲcɟ", 0.20, 0.5, 0.0, CONSONANT, 7),
    **_consonants("ɹɻ", 0.22, -0.2, 0.3, CONSONANT, 7),
    **_consonants("kɡgŋxɣhɦʁʀqʔħ", 0.24, 0.1, 0.0, LOOSE, 7),
}
UNKNOWN = Viseme(0.2, 0.0, 0.0, LOOSE, 7)


@dataclass(frozen=True, eq=False)
class MouthMotion:
    """(frames,) float32 each: opening 0..1, width -1..1, rounding 0..1; labels: (frames,) int64 index into CLASSES."""

    opening: np.ndarray
    width: np.ndarray
    rounding: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.opening)

    def parameters(self) -> np.ndarray:
        """(frames, 3) float32: opening, width, rounding."""
        return np.stack([self.opening, self.width, self.rounding], -1)


def visemes_of(ipa: str) -> list[Viseme]:
    """The mouth positions of a phoneme, in order: two for a diphthong or an affricate, CLOSED for a pause."""
    # NFD parts a letter from its tilde; stress, length and aspiration are modifier letters, category Lm
    letters = [s for s in unicodedata.normalize("NFD", ipa) if unicodedata.category(s) in ("Ll", "Lu", "Lo")]
    visemes = [VISEMES.get(letter, UNKNOWN) for letter in letters]
    return visemes or [CLOSED]


def mouth_motion(speech: Speech, frames: int, fps: float = 25.0, articulation: float = 1.0) -> MouthMotion:
    """The mouth at each instant i / fps of a speech.

    articulation: factor on the opening, which varies between speakers. After the speech's end the mouth is closed.
    """
    length = max(len(speech.waveform) / SAMPLE_RATE_HZ, frames / fps)
    grid = int(np.ceil(length * RATE_HZ)) + 1
    targets, weights, closing, labels = _targets(speech.phonemes, grid)
    sigma = BLEND_SECONDS * RATE_HZ
    blended = gaussian_filter1d(targets * weights[:, None], sigma, axis=0, mode="nearest")
    blended /= gaussian_filter1d(weights, sigma, mode="nearest")[:, None]
    shut = np.clip(1.6 * gaussian_filter1d(closing, CLOSURE_SECONDS * RATE_HZ, mode="nearest"), 0, 1)
    opening = blended[:, 0] * (1 - shut) * _loudness(speech.waveform, grid) * articulation
    instants = np.arange(frames) / fps * RATE_HZ - 0.5  # a cell of the grid stands for its middle

    def at(values: np.ndarray) -> np.ndarray:
        return np.interp(instants, np.arange(grid), values).astype(np.float32)

    nearest = np.clip(np.round(instants).astype(int), 0, grid - 1)
    return MouthMotion(np.clip(at(opening), 0, 1), at(blended[:, 1]), at(blended[:, 2]), labels[nearest])


def _targets(phonemes: tuple[Phoneme, ...], grid: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Targets (grid, 3), weights, closing and labels (grid,), piecewise constant in time."""
    targets, weights = np.zeros((grid, 3)), np.full(grid, WEIGHTS[PAUSE])
    closing, labels = np.zeros(grid), np.zeros(grid, np.int64)
    for phoneme in phonemes:
        positions = visemes_of(phoneme.ipa)
        bounds = np.linspace(phoneme.start, phoneme.end, len(positions) + 1) * RATE_HZ
        for viseme, start, stop in zip(positions, bounds[:-1], bounds[1:], strict=True):
            span = slice(int(round(start)), int(round(stop)))
            targets[span] = viseme.opening, viseme.width, viseme.rounding
            weights[span], labels[span] = WEIGHTS[viseme.kind], viseme.label
            closing[span] = viseme.kind == LABIAL
    return targets, weights, closing, labels


def _loudness(waveform: np.ndarray, grid: int) -> np.ndarray:
    """(grid,) factor: 0 in silence, 0.8 to 1 in sounds, whatever the speech's level."""
    edges = np.minimum(np.arange(grid + 1) * SAMPLE_RATE_HZ // RATE_HZ, len(waveform))
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    power = np.maximum(np.diff(energy[edges]), 0) / (SAMPLE_RATE_HZ / RATE_HZ)
    rms = np.sqrt(gaussian_filter1d(power, LOUDNESS_SECONDS * RATE_HZ, mode="constant"))
    if not rms.max():
        return rms
    level = rms / np.percentile(rms[rms > SILENT * rms.max()], LOUD_LEVEL)
    return np.clip((level - SILENT) / (SPOKEN - SILENT), 0, 1) * (0.8 + 0.2 * np.clip(level, 0, 1))
