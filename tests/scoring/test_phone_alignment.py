"""A text finds its times in a voice: another voice of espeak-ng, whose times are known, and recorded speech."""

import difflib
import os
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.audio.espeak import join_speech, silence, speak
from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation.recorded_sentences import read_sentences
from latentsync_core.scoring.phone_alignment import align_text, with_silences
from latentsync_core.scoring.phones import Phone, base_letters, phones_of_espeak

TEXT = "my mother made apple pie for nobody but papa"
NEAR_SECONDS, MOST_FAR = 0.05, 0.15  # the median of a hand's and a machine's alignment lies at about 0.02


def spoken(text: str, voice: str, speed: int = 165):
    try:
        return speak(text, voice, speed)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")


def start_errors(found, expected) -> np.ndarray:
    """By how many seconds the starts of the phones differ that stand in both, in the order they are said."""
    found, expected = ([phone for phone in phones if phone.ipa] for phones in (found, expected))
    letters = [[base_letters(phone.ipa)[:1] for phone in phones] for phones in (found, expected)]
    blocks = difflib.SequenceMatcher(None, *letters, autojunk=False).get_matching_blocks()
    pairs = [(found[b.a + i], expected[b.b + i]) for b in blocks for i in range(b.size)]
    return np.array([one.start - other.start for one, other in pairs])


def test_the_phones_of_another_speaker_at_another_speed_are_found_between_silences():
    other = spoken(TEXT, "en-us+m3", 120)
    voice = join_speech([silence(0.7), other, silence(0.5)])
    phones = align_text(TEXT, voice.waveform)
    errors = start_errors(phones, phones_of_espeak(voice.phonemes))
    assert len(errors) > 25
    assert np.median(np.abs(errors)) < NEAR_SECONDS and np.quantile(np.abs(errors), 0.9) < MOST_FAR
    assert (phones[0].ipa, phones[0].start) == ("", 0.0) and phones[0].stop == pytest.approx(0.7, abs=0.1)
    assert phones[-1].ipa == "" and phones[-1].stop == pytest.approx(voice.duration, abs=0.05)
    starts = [phone.start for phone in phones]
    assert starts == sorted(starts) and all(phone.start < phone.stop for phone in phones)


def test_recorded_speech_is_timed_as_an_acoustic_model_times_it(tmp_path):
    sdist = Path(os.environ.get("POCKETSPHINX_SDIST", ""))
    if not sdist.name or not sdist.exists():
        pytest.skip("needs POCKETSPHINX_SDIST=path of pocketsphinx-5.1.1.tar.gz, packed or unpacked")
    spoken(TEXT, "en-us")
    sentences = read_sentences(sdist, tmp_path)
    errors = np.abs(np.concatenate([start_errors(align_text(s.text, s.waveform), s.phones) for s in sentences]))
    assert len(errors) > 200
    assert np.median(errors) < NEAR_SECONDS and np.quantile(errors, 0.9) < MOST_FAR


def test_silence_parts_a_phone_and_swallows_another():
    phones = [Phone("ɑ", 0.0, 1.0), Phone("s", 1.0, 1.1), Phone("m", 1.1, 1.6)]
    assert with_silences(phones, [(0.4, 0.6), (0.9, 1.2)]) == (
        Phone("ɑ", 0.0, 0.4),
        Phone("", 0.4, 0.6),
        Phone("ɑ", 0.6, 0.9),
        Phone("", 0.9, 1.2),
        Phone("m", 1.2, 1.6),
    )


def test_a_text_that_cannot_be_this_voices_is_refused():
    voice = spoken(TEXT, "en-us").waveform
    with pytest.raises(LatentSyncError, match="takes about .* s and the voice speaks for .* give all the text"):
        align_text("mama", voice)
    with pytest.raises(LatentSyncError, match=r"finds no word in the text '...'; give what the voice says"):
        align_text("...", voice)
    with pytest.raises(LatentSyncError, match=r"Hardly anybody speaks in the 2.0 s"):
        align_text(TEXT, np.zeros(32_000, np.float32))
    with pytest.raises(LatentSyncError, match="lasts 121 s and a text is aligned with 120 s at most"):
        align_text(TEXT, np.resize(voice, 121 * 16_000))
