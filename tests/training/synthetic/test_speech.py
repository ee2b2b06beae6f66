"""espeak-ng in process: phonemes with their times."""

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.training.synthetic.scripts import HELD_OUT_VARIANTS, VARIANTS, seeded_speech
from latentsync_core.training.synthetic.speech import join_speech, silence, speak
from latentsync_core.training.synthetic.visemes import mouth_motion


@pytest.fixture(scope="module")
def mama():
    try:
        return speak("Mama, papa.", "en-us+f2")
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")


def test_phonemes_cover_the_waveform_in_order(mama):
    starts = [p.start for p in mama.phonemes]
    assert starts == sorted(starts) and mama.phonemes[-1].end == pytest.approx(mama.duration, abs=1e-3)
    assert [p.ipa[0] for p in mama.phonemes if p.ipa and p.ipa[0] in "mp"] == ["m", "m", "p", "p"]


def test_vowels_are_where_the_events_say(mama):
    """Each vowel is louder than the plosive's closure before it."""

    def rms(p):
        return np.sqrt(np.square(mama.waveform[int(p.start * 16_000) : int(p.end * 16_000)]).mean())

    pairs = [(a, b) for a, b in zip(mama.phonemes, mama.phonemes[1:], strict=False) if a.ipa == "p"]
    assert pairs and all(rms(vowel) > 2 * rms(closure) for closure, vowel in pairs)


def test_the_mouth_shuts_for_every_m_and_p(mama):
    opening = mouth_motion(mama, int(mama.duration * 100), fps=100).opening
    for p in mama.phonemes:
        if p.ipa in ("m", "p"):
            assert opening[int(p.start * 100) : int(p.end * 100) + 1].min() < 0.1
    assert opening.max() > 0.6


def test_speech_and_silence_are_joined_in_time(mama):
    joined = join_speech([silence(0.5), mama])
    assert joined.duration == pytest.approx(0.5 + mama.duration)
    assert joined.phonemes[1].start == pytest.approx(0.5 + mama.phonemes[0].start)


def test_a_seed_decides_who_says_what(mama):
    (first, voice), (again, same), (other, _) = (seeded_speech(2.0, np.random.default_rng(s)) for s in (4, 4, 5))
    assert voice == same and voice.split("+")[1] in VARIANTS
    assert [p.ipa for p in first.phonemes] == [p.ipa for p in again.phonemes] != [p.ipa for p in other.phonemes]
    assert len(first.waveform) == 2.0 * 16_000


def test_held_out_voices_are_not_training_voices(mama):
    _, voice = seeded_speech(1.0, np.random.default_rng(0), held_out=True)
    assert voice.split("+")[1] in HELD_OUT_VARIANTS and not set(HELD_OUT_VARIANTS) & set(VARIANTS)


def test_an_unknown_voice_is_refused(mama):
    with pytest.raises(LatentSyncError, match="no voice 'klingon-x'"):
        speak("Hello", "klingon-x")
