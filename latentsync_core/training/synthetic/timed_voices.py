"""Voices of a folder, each a wave with its timed phones (.lab) beside it, as speech that a mouth can be drawn for."""

from pathlib import Path

import numpy as np

from ...audio import SAMPLE_RATE_HZ
from ...audio.espeak import Phoneme, Speech
from ...errors import LatentSyncError
from ...media import read_waveform
from ...scoring.phone_files import read_phones
from ...scoring.phones import speech_of


def timed_voices(folder: Path | str) -> list[Path]:
    """Every wave of a folder, by name; LatentSyncError where there is none."""
    found = sorted(Path(folder).glob("*.wav"))
    if not found:
        raise LatentSyncError(f"{folder} holds no wave (.wav); voices with timed phones (.lab) beside them are needed.")
    return found


def timed_speech(path: Path) -> Speech:
    """A wave at 16 kHz with the phones of the .lab beside it."""
    return speech_of(read_waveform(path), read_phones(path.with_suffix(".lab")))


def excerpt(speech: Speech, start: float, seconds: float) -> Speech:
    """What is said from `start` on for `seconds`; a shorter speech gives what is left of it."""
    first = round(start * SAMPLE_RATE_HZ)
    stop = start + seconds
    kept = (p for p in speech.phonemes if p.end > start and p.start < stop)
    phonemes = (Phoneme(p.ipa, max(p.start - start, 0.0), min(p.end, stop) - start) for p in kept)
    return Speech(speech.waveform[first : first + round(seconds * SAMPLE_RATE_HZ)], tuple(phonemes))


def random_excerpt(paths: list[Path], seconds: float, rng: np.random.Generator) -> tuple[Speech, str]:
    """`seconds` of a random voice from a random moment on, and the voice's name, that of its file."""
    path = paths[int(rng.integers(len(paths)))]
    speech = timed_speech(path)
    start = float(rng.uniform(0, max(speech.duration - seconds, 0.0)))
    return excerpt(speech, start, seconds), path.stem
