"""Speech with timed phones as a study sees it: the drawn mouth closes at every closure, the source's at chance."""

import json

import numpy as np
import pytest

from latentsync_core.__main__ import main
from latentsync_core.audio.espeak import speak
from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation.recorded_sentences import RecordedSentence
from latentsync_core.evaluation.recorded_speech import read_opening, recorded_clips, score_row, silenced
from latentsync_core.scoring.phones import PhoneClass, phones_of_espeak
from latentsync_core.training.synthetic.clips import write_wave

pytestmark = pytest.mark.long

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
TEXT = "The baby saw a yellow umbrella near the hill, and people asked her to sing another happy song in the garden."


@pytest.fixture(scope="module")
def sentence() -> RecordedSentence:
    try:
        speech = speak(TEXT, "en-us+f3")
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    return RecordedSentence("apple", speech.waveform, phones_of_espeak(speech.phonemes))


@pytest.fixture(scope="module")
def clips(sentence):
    return recorded_clips([sentence])


def test_the_mouth_drawn_from_the_phones_does_what_they_ask_and_the_source_does_not(sentence, clips):
    drawn, source = (
        score_row(clips, [sentence], [mouth.opening]) for mouth in (clips[0].ground_truth, clips[0].source)
    )
    assert drawn.phones.closures == source.phones.closures >= 7
    assert drawn.phones.closed > 0.95 and drawn.phones.closed > drawn.phones.closed_by_chance + 0.3
    assert source.phones.closed < drawn.phones.closed
    wide, narrow = (
        [scores.phones.openings[kind] for scores in (drawn, source)] for kind in (PhoneClass.OPEN, PhoneClass.CLOSE)
    )
    assert wide[0] > 2 * narrow[0] and wide[1] < 1.6 * narrow[1]
    assert (drawn.correlation, drawn.lag) == (pytest.approx(1), 0) and abs(drawn.energy_lag) <= 1
    assert source.leak.slope == pytest.approx(1) and drawn.leak.correlation < drawn.leak.by_chance + 0.2


def test_what_is_read_off_the_voice_follows_its_phones(sentence, clips):
    opening = read_opening(sentence, len(clips[0].source.frames))
    scores = score_row(clips, [sentence], [opening])
    assert scores.correlation > 0.9 and scores.lag == 0
    assert 0.5 < np.std(opening) / np.std(clips[0].ground_truth.opening) < 1.2


def test_a_late_mouth_is_late_against_truth_and_energy(sentence, clips):
    late = np.roll(clips[0].ground_truth.opening, 4)
    scores, drawn = (score_row(clips, [sentence], [curve]) for curve in (late, clips[0].ground_truth.opening))
    assert scores.lag == 4 and scores.energy_lag - drawn.energy_lag == 4
    assert scores.phones.closed < drawn.phones.closed - 0.3


def test_a_silent_voice_is_as_long_and_as_loud_as_the_speech_it_replaces(clips):
    speech, still = clips[0].ground_truth.speech.waveform, silenced(clips[0]).ground_truth.speech.waveform
    assert len(still) == len(speech) and np.abs(still).max() == np.abs(speech).max()
    assert not still[: -round(0.3 * 16_000)].any()


def test_one_model_or_many_are_studied_but_not_both(tmp_path, capsys):
    assert main(["ablate", "--recorded", str(tmp_path), "--train", "a.toml"]) == 2
    assert "leave one of them out" in capsys.readouterr().err


def test_the_command_writes_both_tables_and_every_number(tmp_path, capsys):
    voices = tmp_path / "voices"
    voices.mkdir()
    t = np.arange(16_000) / 16_000
    write_wave((0.3 * np.sin(2 * np.pi * 150 * t) * (t < 0.8)).astype(np.float32), voices / "hum.wav")
    (voices / "hum.lab").write_text("0.0 0.4 M\n0.4 0.8 AA\n0.8 1.0 sil\n")
    options = ("--recorded", voices, "--steps", 2, "--guidance", 1, "--checkpoint", "embedded", "--out", tmp_path)
    assert main(["ablate", *map(str, options)]) == 0
    text = (tmp_path / "recorded.md").read_text()
    assert capsys.readouterr().out == text
    assert text.startswith("1 recorded sentences, 2 steps") and "\n| guidance 1 | " in text
    found = json.loads((tmp_path / "recorded.json").read_text())
    rows = ["drawn from the phones", "read off the voice", "the source, not dubbed", "guidance 1"]
    assert list(found["speech"]) == rows
    assert found["speech"]["drawn from the phones"]["phones"]["closures"] == 1
    assert found["silence"]["guidance 1"]["frames"] == 10  # of 25: the others may hear the sound at the end
