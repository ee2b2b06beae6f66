"""Seeded speech: who says what, and the mouth that says it."""

import numpy as np
import pytest

from latentsync_core.audio.espeak import speak
from latentsync_core.errors import LatentSyncError
from latentsync_core.training.synthetic.scripts import HELD_OUT_VARIANTS, VARIANTS, seeded_speech
from latentsync_core.training.synthetic.visemes import mouth_motion


@pytest.fixture(scope="module")
def mama():
    try:
        return speak("Mama, papa.", "en-us+f2")
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")


def test_the_mouth_shuts_for_every_m_and_p(mama):
    opening = mouth_motion(mama, int(mama.duration * 100), fps=100).opening
    for p in mama.phonemes:
        if p.ipa in ("m", "p"):
            assert opening[int(p.start * 100) : int(p.end * 100) + 1].min() < 0.1
    assert opening.max() > 0.6


def test_a_seed_decides_who_says_what(mama):
    (first, voice), (again, same), (other, _) = (seeded_speech(2.0, np.random.default_rng(s)) for s in (4, 4, 5))
    assert voice == same and voice.split("+")[1] in VARIANTS
    assert [p.ipa for p in first.phonemes] == [p.ipa for p in again.phonemes] != [p.ipa for p in other.phonemes]
    assert len(first.waveform) == 2.0 * 16_000


def test_held_out_voices_are_not_training_voices(mama):
    _, voice = seeded_speech(1.0, np.random.default_rng(0), held_out=True)
    assert voice.split("+")[1] in HELD_OUT_VARIANTS and not set(HELD_OUT_VARIANTS) & set(VARIANTS)
