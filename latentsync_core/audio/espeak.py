"""Synthetic speech with exact phoneme timings, by espeak-ng in process.

The library comes from the PyPI package ``espeakng-loader`` (extra ``train``) or from the system. espeak-ng keeps one
voice for the whole process, so all synthesis happens under one lock. It never resets its wave generator: the same text
may differ by a few samples after other speech, so a recipe is reproduced only by synthesising all of it in order.
"""

import ctypes
import ctypes.util
import threading
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import LatentSyncError
from ..media import resample_waveform
from .features import SAMPLE_RATE_HZ

# From espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_PHONEME_EVENTS, INITIALIZE_PHONEME_IPA, INITIALIZE_DONT_EXIT = 1, 2, 1 << 15
PARAMETER_RATE, PARAMETER_PITCH = 1, 3
EVENT_PHONEME = 7
CHARACTERS_UTF8 = 1

DEFAULT_SPEED = 165  # words per minute
DEFAULT_PITCH = 50  # 0-100
_LOCK = threading.Lock()


class _Identity(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Phoneme:
    """One phoneme: its IPA symbols ("" is a pause), start and end in seconds."""

    ipa: str
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Speech:
    """waveform: (samples,) float32 in [-1, 1], 16 kHz; phonemes: in order, without gaps, to the waveform's end."""

    waveform: np.ndarray
    phonemes: tuple[Phoneme, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.waveform) / SAMPLE_RATE_HZ


class _Synthesiser:
    """espeak-ng, loaded and started once."""

    def __init__(self):
        self.library, data = _load_library()
        options = INITIALIZE_PHONEME_EVENTS | INITIALIZE_PHONEME_IPA | INITIALIZE_DONT_EXIT
        self.rate = self.library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, options)
        if self.rate <= 0:
            raise LatentSyncError(
                f"espeak-ng found no voice data (looked in {data.decode() if data else 'its own default folder'}); "
                "reinstall it, or pip install espeakng-loader."
            )
        self._callback = _Callback(self._receive)  # kept alive as long as the library may call it
        self.library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, speed: int, pitch: int) -> tuple[np.ndarray, list[tuple[float, str]]]:
        """int16 samples at `rate`, and each phoneme's start in seconds."""
        self._blocks: list[np.ndarray] = []
        self._starts: list[tuple[float, str]] = []
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise LatentSyncError(
                f"espeak-ng has no voice {voice!r}; a language is needed, or one with a variant such as en-us+f2."
            )
        for parameter, value in ((PARAMETER_RATE, speed), (PARAMETER_PITCH, pitch)):
            self.library.espeak_SetParameter(parameter, int(value), 0)
        encoded = text.encode()
        self.library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, CHARACTERS_UTF8, None, None)
        samples = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
        return samples, self._starts

    def _receive(self, samples, count, events) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != 0:
            event = events[index]
            if event.type == EVENT_PHONEME:
                raw = ctypes.string_at(ctypes.addressof(event.id), 8).split(b"\0")[0]
                self._starts.append((event.sample / self.rate, raw.decode("utf-8", "ignore")))
            index += 1
        return 0  # continue


def _load_library() -> tuple[ctypes.CDLL, bytes | None]:
    """The library and its data folder (None: the one it was built with)."""
    try:
        import espeakng_loader
    except ImportError:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise LatentSyncError(
                "The library espeak-ng was not found, which speaks texts and times their phonemes: pip install "
                "espeakng-loader, or install espeak-ng with the system's package manager."
            ) from None
        return ctypes.CDLL(name), None
    return ctypes.CDLL(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path()).encode()


@cache
def _synthesiser() -> _Synthesiser:
    return _Synthesiser()


def speak(text: str, voice: str = "en-us", speed: int = DEFAULT_SPEED, pitch: int = DEFAULT_PITCH) -> Speech:
    """Synthesise a text, with the time of each phoneme.

    voice: an espeak-ng language, optionally with a variant ("de+m3"); speed: words per minute, 80-450; pitch: 0-100.
    Raises LatentSyncError without the library, for an unknown voice, and where nothing was spoken.
    """
    with _LOCK:
        synthesiser = _synthesiser()
        samples, starts = synthesiser.speak(text, voice, speed, pitch)
    if not len(samples) or not starts:
        raise LatentSyncError(f"espeak-ng spoke nothing for {text!r} with the voice {voice!r}; words are needed.")
    waveform = resample_waveform(samples[None].astype(np.float32) / 32768, synthesiser.rate, SAMPLE_RATE_HZ)
    duration = len(waveform) / SAMPLE_RATE_HZ
    bounds = [*(start for start, _ in starts), duration]
    timed = zip(starts, bounds[1:], strict=True)
    phonemes = tuple(Phoneme(ipa, start, min(end, duration)) for (start, ipa), end in timed if start < end)
    return Speech(np.ascontiguousarray(waveform, np.float32), phonemes)


def silence(seconds: float) -> Speech:
    """A pause."""
    samples = round(seconds * SAMPLE_RATE_HZ)
    return Speech(np.zeros(samples, np.float32), (Phoneme("", 0.0, samples / SAMPLE_RATE_HZ),))


def join_speech(parts: list[Speech]) -> Speech:
    """One after another."""
    phonemes, start = [], 0.0
    for part in parts:
        phonemes += [Phoneme(p.ipa, p.start + start, p.end + start) for p in part.phonemes]
        start += part.duration
    return Speech(np.concatenate([part.waveform for part in parts]), tuple(phonemes))
