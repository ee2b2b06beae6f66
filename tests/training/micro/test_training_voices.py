"""The voices beyond espeak-ng's: phones keep their own time, and marks, pads and stress belong to their neighbours."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.scoring.phone_files import read_phones
from latentsync_core.scoring.phones import PhoneClass

TOOL = Path(__file__).parents[3] / "tools" / "speak_training_voices.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("speak_training_voices", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stress_goes_with_what_follows_length_and_pads_with_what_precedes(tool):
    symbols = ["^", "", "ˈ", "", "p", "", "ɑ", "ː", "", ".", "$"]
    phones = tool.phonemes_of(symbols, np.arange(1, 12) * 0.1, 1.05)
    spans = [(phone.ipa, round(phone.start, 2), round(phone.end, 2)) for phone in phones]
    assert spans == [("", 0.0, 0.2), ("p", 0.2, 0.6), ("ɑ", 0.6, 0.9), ("", 0.9, 1.0), ("", 1.0, 1.05)]


def test_no_word_that_is_held_out_is_spoken(tool):
    words = tool.english_words()
    assert len(set(words)) > 2000 and {"apple", "possible"} <= set(words)
    assert not {"piano", "purple", "umbrella", "marvellous"} & (set(words) - set(tool.WORDS["en-us"].split()))


def test_flite_times_its_own_phones(tool, tmp_path):
    if shutil.which("flite") is None:
        pytest.skip("needs the program flite")
    rng = np.random.default_rng(0)
    speech = tool.Flite().voice(rng)("Papa put paper boats in puddles.")
    assert speech.phonemes[-1].end == pytest.approx(speech.duration, abs=0.01)
    level = {
        name: np.mean([np.abs(speech.waveform[int(p.start * 16_000) : int(p.end * 16_000)]).mean() for p in found])
        for name, found in (
            ("closed", [p for p in speech.phonemes if p.ipa in ("p", "t")]),
            ("open", [p for p in speech.phonemes if p.ipa and p.ipa[0] in "ɑʌəoɪ"]),
        )
    }
    assert level["open"] > 2 * level["closed"]
    path = tmp_path / "a.wav"
    tool.write_clip(path, tool.Flite().voice(rng), ["papa", "boat"], rng)
    phones = read_phones(path.with_suffix(".lab"))
    assert phones[-1].stop <= tool.SECONDS and sum(p.phone_class is PhoneClass.BILABIAL for p in phones) > 20
