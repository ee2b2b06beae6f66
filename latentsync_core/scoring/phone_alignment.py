"""When a voice says the phones of a text: espeak-ng speaks the text, and its speech is warped in time to the voice.

Dynamic time warping of two sequences of mel cepstra (Sakoe and Chiba 1978), in its asymmetric form: every 10 ms of the
voice falls to 10 ms of espeak-ng's speech, which meanwhile stands, advances or skips. On five recorded sentences half
of the phones start within 20 ms of where an acoustic model's alignment has them, nine of ten within 70 ms; stretching
espeak-ng's speech evenly would give 104 and 268 ms.
"""

import numpy as np
import torch
from scipy.fft import dct

from ..audio import SAMPLE_RATE_HZ, detect_voice
from ..audio.espeak import DEFAULT_SPEED, Phoneme, Speech, speak
from ..audio.log_mel import FRAMES_PER_SECOND, log_mel
from ..errors import LatentSyncError
from .phones import Phone, phones_of_espeak

MEL_BANDS = 80  # of the spectrogram that Whisper takes
CEPSTRA = 13
SLOPE_FRAMES = 3  # at either side, over which the slope of a cepstrum is taken
SPEEDS = (80, 450)  # words per minute that espeak-ng can speak
SPOKEN_SECONDS = (0.2, 120.0)  # of a voice; the path's table has a byte for every pair of frames, 144 MB
MOST_RATIO = 2.5  # of the text's length as espeak-ng speaks it to the voice's, or the reverse: else they do not match
ADVANCE_COSTS = (0.1, 0.0, 0.1, 0.2)  # of advancing by 0, 1, 2, 3 frames, in mean distances of two frames


def align_text(text: str, waveform: np.ndarray, language: str = "en-us") -> tuple[Phone, ...]:
    """Time the phones of a text in a voice that says it.

    Args:
        text: all that is said, and nothing else, in the letters of the language.
        waveform: (samples,) float32 in [-1, 1] at 16 kHz, at most 120 s.
        language: of espeak-ng.
    Returns phones in IPA in order of time; where the recording is silent is silence.
    Raises LatentSyncError without espeak-ng, for a language it does not know, a text without words, a voice that is
    silent or too long, and a text that is much longer or shorter than the voice.
    """
    seconds = len(waveform) / SAMPLE_RATE_HZ
    silences = detect_voice(waveform).silences
    spoken = seconds - sum(stop - start for start, stop in silences)
    check_length(waveform, seconds, spoken)
    rendered = speak_in(text, spoken, language)
    path = warping_path(cepstra(waveform), cepstra(rendered.waveform))
    return with_silences(warped(phones_of_espeak(rendered.phonemes), path), silences)


def check_length(waveform: np.ndarray, seconds: float, spoken: float) -> None:
    """Refuse a voice in which nothing can be aligned, or too much."""
    least, most = SPOKEN_SECONDS
    if seconds > most:
        raise LatentSyncError(
            f"The voice lasts {seconds:.0f} s and a text is aligned with {most:.0f} s at most; cut both into parts."
        )
    if spoken < least or not np.any(waveform):
        raise LatentSyncError(
            f"Hardly anybody speaks in the {seconds:.1f} s of this voice, and a text needs {least:g} s of speech; "
            "name the recording that says the text."
        )


def speak_in(text: str, seconds: float, language: str) -> Speech:
    """espeak-ng's speech of a text, about as long as the voice speaks."""
    spoken = speech_seconds(speak(text, language).phonemes)
    if not spoken:
        raise LatentSyncError(f"espeak-ng finds no word in the text {text[:40]!r}; give what the voice says.")
    if not seconds / MOST_RATIO < spoken < seconds * MOST_RATIO:
        raise LatentSyncError(
            f"Speaking this text takes about {spoken:.1f} s and the voice speaks for {seconds:.1f} s; "
            "give all the text of this voice and no more."
        )
    return speak(text, language, round(float(np.clip(DEFAULT_SPEED * spoken / seconds, *SPEEDS))))


def speech_seconds(phonemes: tuple[Phoneme, ...]) -> float:
    """How long a speech lasts without its pauses."""
    return sum(phoneme.end - phoneme.start for phoneme in phonemes if phoneme.ipa)


def cepstra(waveform: np.ndarray) -> np.ndarray:
    """Mel cepstra and their slopes (frames, 26) float32 of a waveform at 16 kHz, 100 per second.

    Each has mean 0 and variance 1, which takes away much of a voice's and a microphone's own colour.
    """
    mel = log_mel(torch.as_tensor(np.ascontiguousarray(waveform, np.float32)), MEL_BANDS).numpy()
    values = dct(mel, axis=0, norm="ortho")[:CEPSTRA].T  # (frames, 13)
    ramp = np.arange(SLOPE_FRAMES, -SLOPE_FRAMES - 1, -1)
    padded = np.pad(values, ((SLOPE_FRAMES, SLOPE_FRAMES), (0, 0)), mode="edge")
    slopes = np.stack([np.convolve(column, ramp, "valid") for column in padded.T], axis=1)
    features = np.concatenate([values, slopes], axis=1)
    return ((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)).astype(np.float32)


def warping_path(voice: np.ndarray, rendered: np.ndarray) -> np.ndarray:
    """The frame of `rendered` (m, d) that each frame of `voice` (n, d) falls to: (n,) int, rising from 0 to m - 1."""
    unit = mean_distance(voice, rendered)
    total = np.full(len(rendered), np.inf)  # cost of the best path to each rendered frame
    total[0] = 0.0
    advances = np.zeros((len(voice), len(rendered)), np.uint8)
    for frame, values in enumerate(voice):
        if frame:
            ways = np.full((len(ADVANCE_COSTS), len(rendered)), np.inf)
            for advance, cost in enumerate(ADVANCE_COSTS):
                ways[advance, advance:] = total[: len(rendered) - advance] + cost * unit
            advances[frame], total = ways.argmin(axis=0), ways.min(axis=0)
        total = total + np.linalg.norm(rendered - values, axis=1)
    path = np.empty(len(voice), int)
    at = len(rendered) - 1
    for frame in range(len(voice) - 1, -1, -1):
        path[frame] = at
        at -= int(advances[frame, at])
    return path


def mean_distance(voice: np.ndarray, rendered: np.ndarray) -> float:
    """The root mean square distance of a frame of one to a frame of the other."""
    spread = np.square(voice).sum(axis=1).mean() + np.square(rendered).sum(axis=1).mean()
    return float(np.sqrt(spread - 2 * voice.mean(axis=0) @ rendered.mean(axis=0)))


def warped(phones: tuple[Phone, ...], path: np.ndarray) -> list[Phone]:
    """The phones at the times of the voice; one that the path skips is not said."""
    bounds = [(phone.start * FRAMES_PER_SECOND, phone.stop * FRAMES_PER_SECOND) for phone in phones]
    frames = np.searchsorted(path, np.array(bounds), side="left")  # the first of the voice that has come so far
    times = frames / FRAMES_PER_SECOND
    return [
        Phone(phone.name, float(start), float(stop))
        for phone, (start, stop) in zip(phones, times, strict=True)
        if start < stop
    ]


def with_silences(phones: list[Phone], silences: list[tuple[float, float]]) -> tuple[Phone, ...]:
    """The phones cut back to where somebody speaks, and the silences between."""
    kept = [Phone("", start, stop) for start, stop in silences]
    for phone in phones:
        pieces = [(phone.start, phone.stop)]
        for quiet_start, quiet_stop in silences:
            pieces = [
                piece
                for start, stop in pieces
                for piece in ((start, min(stop, quiet_start)), (max(start, quiet_stop), stop))
                if piece[0] < piece[1]
            ]
        kept += [Phone(phone.name, start, stop) for start, stop in pieces]
    return tuple(sorted(kept, key=lambda phone: phone.start))
