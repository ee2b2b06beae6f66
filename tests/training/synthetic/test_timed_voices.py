"""Voices with timed phones become speech, whole or in excerpts, whose phones lie where the sound is."""

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.training.synthetic.clips import ClipRecipe, synthetic_clip, write_wave
from latentsync_core.training.synthetic.timed_voices import excerpt, random_excerpt, timed_speech, timed_voices

RATE = 16_000
LABELS = "0 0.5 sil\n0.5 1.2 AA\n1.2 1.4 P\n1.4 2.0 AA\n"


@pytest.fixture
def folder(tmp_path):
    """A voice of two seconds whose sample values say when they are heard."""
    write_wave(np.linspace(0, 1, 2 * RATE, dtype=np.float32), tmp_path / "a.wav")
    (tmp_path / "a.lab").write_text(LABELS)
    return tmp_path


def test_an_excerpt_holds_its_sound_and_the_phones_that_are_heard_in_it(folder):
    (path,) = timed_voices(folder)
    cut = excerpt(timed_speech(path), 1.0, 0.5)
    assert len(cut.waveform) == RATE // 2 and cut.waveform[0] == pytest.approx(0.5, abs=1e-3)
    spans = [(p.ipa, round(p.start, 3), round(p.end, 3)) for p in cut.phonemes]
    assert spans == [("ɑ", 0.0, 0.2), ("p", 0.2, 0.4), ("ɑ", 0.4, 0.5)]


def test_the_whole_speech_is_an_excerpt_of_itself_however_long_it_is_asked_for(folder):
    speech = timed_speech(folder / "a.wav")
    whole = excerpt(speech, 0.0, 30.0)
    assert np.array_equal(whole.waveform, speech.waveform) and whole.phonemes == speech.phonemes


def test_what_no_phone_covers_is_silent(folder):
    (folder / "a.lab").write_text("0.5 1.2 AA\n1.4 1.8 P\n")
    spans = [(p.ipa, p.start, p.end) for p in timed_speech(folder / "a.wav").phonemes]
    assert spans == [("", 0.0, 0.5), ("ɑ", 0.5, 1.2), ("", 1.2, 1.4), ("p", 1.4, 1.8), ("", 1.8, 2.0)]


@pytest.mark.parametrize("seed", range(4))
def test_random_excerpts_stay_inside_and_name_their_voice(folder, seed):
    speech, voice = random_excerpt(timed_voices(folder), 1.25, np.random.default_rng(seed))
    assert voice == "a" and len(speech.waveform) == 1.25 * RATE
    assert speech.phonemes[0].start == 0 and speech.phonemes[-1].end == pytest.approx(1.25)
    again, _ = random_excerpt(timed_voices(folder), 1.25, np.random.default_rng(seed))
    assert np.array_equal(speech.waveform, again.waveform)


def test_a_folder_without_waves_is_named(tmp_path):
    with pytest.raises(LatentSyncError, match=r"holds no wave \(\.wav\); voices with timed phones"):
        timed_voices(tmp_path)


def test_nobody_knows_which_voices_of_a_folder_are_held_out(folder):
    with pytest.raises(LatentSyncError, match="leave one of the two out"):
        ClipRecipe(held_out=True, voices=folder)


@pytest.mark.long
def test_clips_take_their_voices_from_a_folder_and_through_a_channel(folder):
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    from latentsync_core.training.synthetic.portrait import load_portrait

    portrait = load_portrait()
    plain, heard = (
        synthetic_clip(portrait, ClipRecipe(5, 2.0, 96, voices=folder, through_channel=channel), 3)
        for channel in (False, True)
    )
    assert plain.voice == heard.voice == "a" and len(plain.frames) == len(heard.frames) == 50
    assert plain.speech.phonemes == heard.speech.phonemes and np.array_equal(plain.frames, heard.frames)
    assert not np.array_equal(plain.speech.waveform, heard.speech.waveform)
    assert plain.motion.opening[30:33].max() < 0.3 < plain.motion.opening[20]
