"""The mouth follows the phonemes."""

import numpy as np

from latentsync_core.audio.espeak import Phoneme, Speech
from latentsync_core.training.synthetic.visemes import mouth_motion, visemes_of

RATE = 16_000


def tone_for(*phonemes: tuple[str, float], level: float = 0.3) -> Speech:
    """Phonemes with their durations; a tone sounds in all but pauses."""
    timed, parts, start = [], [], 0.0
    for ipa, seconds in phonemes:
        timed.append(Phoneme(ipa, start, start + seconds))
        samples = np.sin(2 * np.pi * 200 * np.arange(round(seconds * RATE)) / RATE) * (level if ipa else 0.0)
        parts.append(samples.astype(np.float32))
        start += seconds
    return Speech(np.concatenate(parts), tuple(timed))


def test_open_vowels_open_the_mouth_more_than_close_ones():
    openings = [mouth_motion(tone_for((ipa, 0.4)), 10).opening[5] for ipa in "aei"]
    assert openings[0] > 0.8 and openings[0] > openings[1] + 0.2 > openings[2] + 0.3


def test_silence_and_bilabials_shut_the_mouth():
    motion = mouth_motion(tone_for(("a", 0.4), ("m", 0.12), ("a", 0.4), ("", 0.48)), 35)
    assert motion.opening[5] > 0.8 and motion.opening[16] > 0.8
    assert motion.opening[11] < 0.1, "0.44 s is the middle of m"
    assert motion.opening[26:].max() < 0.01


def test_rounded_vowels_round_and_narrow():
    u, i = (mouth_motion(tone_for((ipa, 0.4)), 10) for ipa in "ui")
    assert u.rounding[5] > 0.8 > 0.2 > i.rounding[5]
    assert u.width[5] < -0.5 < 0.5 < i.width[5]


def test_the_mouth_neither_leads_nor_lags():
    """A vowel between two pauses opens and shuts the mouth symmetrically in time."""
    opening = mouth_motion(tone_for(("", 0.4), ("a", 0.4), ("", 0.4)), 121, fps=100).opening
    assert np.abs(opening - opening[::-1]).max() < 0.02


def test_the_level_of_a_recording_changes_nothing():
    loud, quiet = (mouth_motion(tone_for(("", 0.2), ("a", 0.3), ("i", 0.3), level=v), 20).opening for v in (0.9, 0.03))
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_a_diphthong_moves_through_its_vowels():
    assert [round(v.opening, 2) for v in visemes_of("aɪ")] == [1.0, 0.3]
    assert visemes_of("")[0].opening == 0
    assert len(visemes_of("ˈiː")) == len(visemes_of("ɔ̃")) == len(visemes_of("tʰ")) == 1
