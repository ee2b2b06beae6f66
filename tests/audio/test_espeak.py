"""espeak-ng in process: phonemes with their times."""

import numpy as np
import pytest

from latentsync_core.audio.espeak import join_speech, silence, speak
from latentsync_core.errors import LatentSyncError


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


def test_speech_and_silence_are_joined_in_time(mama):
    joined = join_speech([silence(0.5), mama])
    assert joined.duration == pytest.approx(0.5 + mama.duration)
    assert joined.phonemes[1].start == pytest.approx(0.5 + mama.phonemes[0].start)


def test_an_unknown_voice_is_refused(mama):
    with pytest.raises(LatentSyncError, match="no voice 'klingon-x'"):
        speak("Hello", "klingon-x")
