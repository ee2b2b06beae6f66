"""Silence is found where it is: whatever the gain, in noise and hum, and never between two words."""

import numpy as np
import pytest

from latentsync_core.audio import VoiceActivity, detect_voice
from latentsync_core.demo import VOICE
from latentsync_core.media import read_waveform

RATE = 16_000
SILENCES = [(1.5, 2.5), (4.2, 4.8)]  # seconds, put into the demo's voice by `interrupted`
CLOSE = 0.14  # seconds by which a found edge may miss: a word that dies away under the noise


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return read_waveform(VOICE)


@pytest.fixture(scope="module")
def interrupted(voice) -> np.ndarray:
    """The demo's voice with a second and 0.6 s of digital silence in it."""
    parts = np.split(voice, [round(1.5 * RATE), round(3.2 * RATE)])
    return np.concatenate([parts[0], np.zeros(RATE), parts[1], np.zeros(round(0.6 * RATE)), parts[2]]).astype(
        np.float32
    )


def noise_of(kind: str, samples: int) -> np.ndarray:
    """Unit power: white or brown noise, a room's hum with its overtones, a held chord."""
    t = np.arange(samples) / RATE
    if kind == "hum":
        noise = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 9))
    elif kind == "chord":
        noise = sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330, 440)) * (1 + 0.1 * np.sin(2 * np.pi * 0.5 * t))
    else:
        noise = np.random.default_rng(1).standard_normal(samples)
        if kind == "brown":
            noise = np.cumsum(noise)
            noise -= np.convolve(noise, np.ones(800) / 800, "same")
    return noise / noise.std()


def assert_found(activity: VoiceActivity):
    for start, stop in SILENCES:
        near = [(a, b) for a, b in activity.silences if abs(a - start) < CLOSE and abs(b - stop) < CLOSE]
        assert len(near) == 1, activity.silences


def test_digital_silence_is_found_to_the_step(interrupted):
    silences = detect_voice(interrupted).silences
    inner = [pair for pair in silences if pair[1] < 6]
    assert np.abs(np.array(inner) - SILENCES).max() <= 0.021
    assert silences[-1][1] == len(interrupted) // 320 / 50  # the recording dies away


@pytest.mark.parametrize(
    ("kind", "snr"),
    [("white", 30), ("white", 20), ("white", 10), ("white", 5), ("brown", 10), ("brown", 5)]
    + [("hum", 20), ("hum", 5), ("chord", 20)],
)
def test_noise_hides_no_silence_and_no_speech(voice, interrupted, kind, snr):
    noise = noise_of(kind, len(interrupted)) * np.sqrt((voice**2).mean()) * 10 ** (-snr / 20)
    activity = detect_voice(interrupted + noise)
    assert_found(activity)
    clean = detect_voice(interrupted).speech
    assert (activity.speech != clean).mean() < 0.12  # what is lost are the ends of words and one closure of 0.3 s


@pytest.mark.parametrize("gain", [0.003, 0.05, 20.0])
def test_gain_and_dc_do_not_matter(interrupted, gain):
    expected = detect_voice(interrupted).silences
    found = detect_voice(np.clip(interrupted * gain, -1, 1)).silences
    assert (
        len(found) == len(expected) and np.abs(np.array(found) - expected).max() < 0.1
    )  # clipped twenty times over, a last breath grows long
    assert detect_voice(interrupted + 0.3).silences == expected


def test_a_quiet_speaker_beside_a_loud_one_is_heard(voice):
    both = np.concatenate([voice, np.zeros(RATE, np.float32), voice * 10 ** (-18 / 20)])
    activity = detect_voice(both)
    assert np.mean(activity.speech[:250] == activity.speech[-len(voice) // 320 :][:250]) > 0.9


def test_clicks_are_no_speech_and_short_pauses_no_silence(voice):
    for pause, found in ((0.1, 0), (0.2, 0), (0.4, 1)):
        cut = round(2.0 * RATE)
        spoken = np.concatenate([voice[:cut], np.zeros(round(pause * RATE), np.float32), voice[cut:]])
        inner = [pair for pair in detect_voice(spoken).silences if 1 < pair[0] < 4]
        assert len(inner) == found, (pause, inner)
    clicking = np.concatenate([voice[:cut], np.zeros(RATE, np.float32), voice[cut:]])
    clicking[cut + 8000 : cut + 8040] = 0.5
    assert any(a < 2.1 and b > 2.9 for a, b in detect_voice(clicking).silences)


def test_the_gate_is_soft_and_leaves_room_around_the_voice():
    speech = np.ones(200, bool)
    speech[50:100] = False  # 1 s to 2 s
    times = np.arange(0, 6, 0.01)
    gate = VoiceActivity(speech).gate(times)
    assert gate.dtype == np.float32 and np.abs(np.diff(gate)).max() < 0.12
    assert (gate[times <= 1.1] == 1).all() and (gate[(times > 1.9) & (times < 4.1)] == 1).all()
    assert (gate[(times > 1.27) & (times < 1.73)] == 0).all()
    assert (gate[times > 4.3] == 0).all()  # after the recording nobody speaks


def test_nothing_but_silence_and_nothing_but_noise():
    assert (VoiceActivity(np.zeros(50, bool)).gate([0, 0.5]) == 0).all()
    assert detect_voice(np.zeros(100, np.float32)).silences == []
    steady = np.random.default_rng(0).standard_normal(RATE * 2).astype(np.float32)
    assert detect_voice(steady).speech.all()  # with nothing to compare with, nothing is taken away
