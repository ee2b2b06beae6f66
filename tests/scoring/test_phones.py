"""Phones: what their names ask of the lips, and the scores of mouths of known behaviour."""

import json

import numpy as np
import pytest
from seeded import draw

from latentsync_core.audio.espeak import Phoneme
from latentsync_core.scoring.leak import leak
from latentsync_core.scoring.phone_scores import phone_scores, pooled
from latentsync_core.scoring.phones import Phone, PhoneClass, phones_of_espeak

FPS = 25
WORDS = ("m", "ɑ", "s", "i", "ɛ", "", "s", "ɑ", "b", "u", "ɛ", "s", "i", "ɑ", "s")
PHONES = tuple(Phone(name, 0.2 * i, 0.2 * (i + 1)) for i, name in enumerate(WORDS * 3))
TIMES = np.arange(round(PHONES[-1].stop * FPS)) / FPS
WANTED = {  # eye distances
    PhoneClass.BILABIAL: 0.0,
    PhoneClass.SILENCE: 0.0,
    PhoneClass.CLOSE: 0.04,
    PhoneClass.CONSONANT: 0.05,
    PhoneClass.MID: 0.09,
    PhoneClass.OPEN: 0.15,
}


def obedient_mouth(delay: float = 0.0) -> np.ndarray:
    """The opening of a mouth that does at every frame what the phone asks, `delay` seconds late."""
    starts = np.array([phone.start for phone in PHONES])
    at = np.clip(np.searchsorted(starts, TIMES - delay + 1e-9, side="right") - 1, 0, None)
    return np.array([WANTED[PHONES[index].phone_class] for index in at])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("P", "b", "M", "pʰ", "ˈm", "mː"), PhoneClass.BILABIAL),
        (("F", "v"), PhoneClass.LABIODENTAL),
        (("AA1", "ae", "AY0", "AW", "ˈɑːɹ", "aɪ", "ɑ̃"), PhoneClass.OPEN),
        (("AH0", "ER", "ey", "AO1", "ə", "ɔɪ", "ˈɛ"), PhoneClass.MID),
        (("IY1", "uw", "OW", "oʊ", "ˈiː", "ʊ"), PhoneClass.CLOSE),
        (("T", "HH", "W", "ɹ", "tʃ", "noise"), PhoneClass.CONSONANT),
        (("", "SIL", "<sil>", "sp", "h#"), PhoneClass.SILENCE),
    ],
)
def test_names_of_both_alphabets_ask_the_same_of_the_lips(names, expected):
    assert {name: Phone(name, 0, 1).phone_class for name in names} == dict.fromkeys(names, expected)


def test_a_mouth_that_obeys_closes_at_every_closure_and_one_that_is_late_does_not():
    obedient, late = (phone_scores(obedient_mouth(delay), TIMES, PHONES) for delay in (0, 0.3))
    assert obedient.closures == late.closures == 6
    assert obedient.closed == 1 and obedient.closed_by_chance < 0.8
    assert late.closed < late.closed_by_chance
    assert obedient.openings[PhoneClass.OPEN] == pytest.approx(0.15)
    assert obedient.openings[PhoneClass.CLOSE] == pytest.approx(0.04)
    assert np.isnan(obedient.openings[PhoneClass.LABIODENTAL]) and obedient.frames[PhoneClass.LABIODENTAL] == 0
    assert sum(obedient.frames.values()) == len(TIMES)


def test_a_closure_one_frame_beside_its_phone_counts_and_two_do_not():
    phones = (Phone("AA", 0, 1), Phone("B", 1, 1.04), Phone("AA", 1.04, 2.0))
    times = np.arange(50) / FPS
    for frame, expected in ((24, 1), (25, 1), (26, 1), (23, 0), (27, 0)):
        opening = np.full(50, 0.1)
        opening[[frame, *range(40, 49)]] = 0.0  # the lowest fifth
        assert phone_scores(opening, times, phones).closed == expected, frame


def test_chance_is_what_a_mouth_without_ears_reaches():
    """Mean over many mouths that move by themselves: the share equals its own estimate of chance."""
    deaf = [phone_scores(np.roll(obedient_mouth(), shift), TIMES, PHONES) for shift in range(6, len(TIMES) - 6, 3)]
    mean = pooled(deaf)
    assert mean.closed == pytest.approx(mean.closed_by_chance, abs=0.05)


def test_a_mouth_that_chews_in_silence_is_told():
    still = obedient_mouth()
    silent = np.array([phone.phone_class is PhoneClass.SILENCE for phone in PHONES]).repeat(5)
    chewing = np.where(silent, 0.1, still)
    quiet = tuple(Phone("", p.start, p.stop) if p.name == "" else p for p in PHONES)
    long_pause = (*quiet, Phone("sp", TIMES[-1] + 1 / FPS, TIMES[-1] + 1))
    times = np.arange(round(long_pause[-1].stop * FPS)) / FPS
    rest = len(times) - len(TIMES)
    at_rest = phone_scores(np.append(still, np.zeros(rest)), times, long_pause)
    awake = phone_scores(np.append(chewing, np.full(rest, 0.1)), times, long_pause)
    assert at_rest.silent_frames == awake.silent_frames > 15
    assert at_rest.false_openings == 0 and awake.false_openings == 1


def test_nothing_to_count_is_no_number_and_survives_json():
    scores = phone_scores(np.full(10, 0.1), np.arange(10) / FPS, (Phone("AA", 0, 0.2), Phone("S", 0.2, 0.4)))
    assert scores.closures == 0 and np.isnan(scores.closed) and np.isnan(scores.false_openings)
    written = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert written["closed"] is None and written["openings"]["open vowel"] == 0.1
    nobody = phone_scores(np.full(len(TIMES), np.nan), TIMES, PHONES)
    assert nobody.closures == 0 and np.isnan(nobody.closed) and np.isnan(nobody.false_openings)


def test_clips_are_pooled_by_what_they_count():
    whole = phone_scores(obedient_mouth(), TIMES, PHONES)
    nothing = phone_scores(np.full(10, np.nan), np.arange(10) / FPS, PHONES[:2])
    assert pooled([whole, nothing]).to_dict() == whole.to_dict()
    late = phone_scores(obedient_mouth(0.3), TIMES, PHONES)
    assert pooled([whole, late]).closed == pytest.approx((whole.closed + late.closed) / 2)


def test_a_leak_is_the_share_of_the_source_that_comes_through():
    source = np.convolve(np.abs(draw("a source's mouth", 300)), np.hanning(9), "same") / 50
    other = np.convolve(np.abs(draw("another mouth", 300)), np.hanning(9), "same") / 50
    through = leak(0.3 * source + other, source)
    assert through.slope == pytest.approx(0.3, abs=0.1) and through.correlation > through.by_chance
    assert abs(leak(other, source).slope) < 0.1 and leak(other, source).correlation < leak(other, source).by_chance
    shut = leak(np.zeros(300), source)
    assert shut.slope == 0 and shut.to_dict()["correlation"] is None
    assert np.isnan(leak(source[:20], source[:20]).slope)


def test_the_phones_of_espeak_keep_their_times():
    phones = phones_of_espeak([Phoneme("", 0.0, 0.1), Phoneme("ˈɑː", 0.1, 0.4)])
    assert [(p.phone_class, p.start, p.stop) for p in phones] == [
        (PhoneClass.SILENCE, 0.0, 0.1),
        (PhoneClass.OPEN, 0.1, 0.4),
    ]
