"""A voice through a random channel keeps its length and time, and gets the noise, colour and echo that were drawn."""

import numpy as np
import pytest

from latentsync_core.training.synthetic.voice_channel import (
    band_limited,
    coloured_noise,
    equalised,
    reverberant,
    through_channel,
)

RATE = 16_000


@pytest.fixture
def clicks() -> np.ndarray:
    """A click every half second."""
    sound = np.zeros(3 * RATE)
    sound[RATE // 2 :: RATE // 2] = 1.0
    return sound


def band_energy(sound: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    return float(power[(hertz >= low) & (hertz < high)].mean())


@pytest.mark.parametrize("seed", range(6))
def test_length_level_and_seed_decide_and_the_sound_stays_in_its_place(clicks, seed):
    heard = through_channel(clicks, np.random.default_rng(seed))
    assert heard.dtype == np.float32 and heard.shape == clicks.shape and 0.19 < np.abs(heard).max() < 1.01
    assert np.array_equal(heard, through_channel(clicks, np.random.default_rng(seed)))
    lags = np.correlate(np.abs(heard), clicks[: 2 * RATE], "valid")
    assert np.argmax(lags[:400]) < 16  # at most a millisecond late


def test_a_narrow_band_has_nothing_above_it():
    noise = np.random.default_rng(0).standard_normal(RATE)
    limited = band_limited(noise, np.random.default_rng(1))
    assert band_energy(limited, 7500, 8000) < 1e-2 * band_energy(limited, 1000, 2500)


def test_a_room_adds_reflections_after_the_sound_and_nothing_before_it(clicks):
    heard = reverberant(clicks, np.random.default_rng(0))
    after, before = heard[RATE // 2 + 40 : RATE // 2 + 800], heard[: RATE // 2]
    assert np.sqrt(np.mean(after**2)) > 1e-3 and np.abs(before).max() < 1e-9
    assert heard[RATE // 2] == pytest.approx(1, abs=1e-6)


def test_an_equaliser_changes_the_colour_and_keeps_the_phase(clicks):
    heard = [equalised(clicks, np.random.default_rng(seed)) for seed in range(8)]
    bands = (100, 400), (5000, 8000)
    tilts = [
        np.log(np.divide(*(band_energy(sound, *band) / band_energy(clicks, *band) for band in bands)))
        for sound in heard
    ]
    assert np.std(tilts) > 0.5 and all(np.argmax(np.abs(sound)) % (RATE // 2) == 0 for sound in heard)


def test_noise_has_variance_one_and_falls_off_by_a_random_slope():
    drawn = [coloured_noise(RATE, np.random.default_rng(seed)) for seed in range(12)]
    slopes = [band_energy(noise, 100, 300) / band_energy(noise, 4000, 8000) for noise in drawn]
    assert max(slopes) > 20 and min(slopes) > 0.5 and all(noise.std() == pytest.approx(1) for noise in drawn)
