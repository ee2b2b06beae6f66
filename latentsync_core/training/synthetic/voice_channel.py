"""What lies between a mouth and a recording: microphone, room, bandwidth and noise, drawn at random."""

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from ...audio import SAMPLE_RATE_HZ

EQUALISER_HZ = (60, 200, 500, 1200, 2500, 4500, 8000)
EQUALISER_DB = 4.0  # standard deviation at each of them
CUTOFF_HZ, LOW_CUT_HZ = (3000, 7000), (60, 300)
ORDER = 6  # of the Butterworth low-pass
REVERBERATION_SECONDS = (0.08, 0.5)  # until 60 dB below
REFLECTED = (0.1, 0.6)  # amplitude of all reflections together, of the direct sound's
FIRST_REFLECTION_SECONDS = 0.002
NOISY_DB, QUIET_DB = (5, 25), (25, 60)  # of the speech over the noise
NOISE_SLOPE = (0.0, 1.0)  # of the noise's amplitude over frequency: white to brown
LEVELS = (0.2, 1.0)  # of the loudest sample
CHANCES = {"equaliser": 0.7, "room": 0.4, "bandwidth": 0.4, "low cut": 0.5, "noisy": 0.35}


def through_channel(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A waveform (samples,) at 16 kHz as a random microphone in a random room may record it, float32."""
    sound = waveform.astype(np.float64)
    if rng.random() < CHANCES["equaliser"]:
        sound = equalised(sound, rng)
    if rng.random() < CHANCES["room"]:
        sound = reverberant(sound, rng)
    if rng.random() < CHANCES["bandwidth"]:
        sound = band_limited(sound, rng)
    level = np.sqrt(np.mean(sound**2)) + 1e-9
    decibels = rng.uniform(*(NOISY_DB if rng.random() < CHANCES["noisy"] else QUIET_DB))
    sound = sound + coloured_noise(len(sound), rng) * level * 10 ** (-decibels / 20)
    return (sound / np.abs(sound).max() * rng.uniform(*LEVELS)).astype(np.float32)


def equalised(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With a random smooth curve of gain over the logarithm of frequency."""
    octaves = np.log(np.maximum(np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ), EQUALISER_HZ[0]))
    gain = np.interp(octaves, np.log(EQUALISER_HZ), rng.normal(0, EQUALISER_DB, len(EQUALISER_HZ)))
    return np.fft.irfft(np.fft.rfft(sound) * 10 ** (gain / 20), len(sound))


def reverberant(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In a room whose reflections decay exponentially."""
    samples = int(rng.uniform(*REVERBERATION_SECONDS) * SAMPLE_RATE_HZ)
    response = rng.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / samples)
    response[: int(FIRST_REFLECTION_SECONDS * SAMPLE_RATE_HZ)] = 0
    response *= rng.uniform(*REFLECTED) / np.sqrt(np.sum(response**2))
    response[0] = 1
    return fftconvolve(sound, response)[: len(sound)]


def band_limited(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Without what is high, as a codec or a cheap microphone leaves it, and perhaps without what is low."""
    low_pass = butter(ORDER, rng.uniform(*CUTOFF_HZ), "low", fs=SAMPLE_RATE_HZ, output="sos")
    limited = sosfilt(low_pass, sound)
    if rng.random() < CHANCES["low cut"]:
        high_pass = butter(2, rng.uniform(*LOW_CUT_HZ), "high", fs=SAMPLE_RATE_HZ, output="sos")
        limited = sosfilt(high_pass, limited)
    return limited


def coloured_noise(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation 1 that falls off towards high frequencies at a random rate."""
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ), EQUALISER_HZ[0])
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * frequencies ** -rng.uniform(*NOISE_SLOPE)
    noise = np.fft.irfft(spectrum, samples)
    return noise / noise.std()
