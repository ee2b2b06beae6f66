"""Timed phones of a voice, and what each asks of the lips.

Two alphabets are known: ARPABET, as English aligners write it (pocketsphinx, the Montreal Forced Aligner, TIMIT; any
case, with or without a stress digit), and the IPA, as espeak-ng writes it. ARPABET is read as the IPA it stands for.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..audio import SAMPLE_RATE_HZ
from ..audio.espeak import Phoneme, Speech


class PhoneClass(str, Enum):
    """What a phone asks of the lips.

    A vowel is as open as its first element on the IPA's chart; the rounded close-mid vowels (o, as in "go") count with
    the close ones, since rounding brings the lips together.
    """

    BILABIAL = "bilabial"  # the lips touch
    LABIODENTAL = "labiodental"  # the lower lip touches the teeth
    OPEN = "open vowel"
    MID = "mid vowel"
    CLOSE = "close vowel"
    CONSONANT = "other sound"  # made behind the lips, or a name in neither alphabet
    SILENCE = "silence"


CLASS_OF_IPA = {
    symbol: phone_class
    for symbols, phone_class in (
        ("pbmʙɸβ", PhoneClass.BILABIAL),
        ("fvɱʋ", PhoneClass.LABIODENTAL),
        ("aɑæɐɒɶ", PhoneClass.OPEN),
        ("ɛʌɔœɜɞəɚɝeɘɤ", PhoneClass.MID),
        ("iɪyʏuʊɨʉɯoøɵ", PhoneClass.CLOSE),
    )
    for symbol in symbols
}
IPA_OF_ARPABET = dict(
    pair.split("=")
    for pair in (
        "AA=ɑ AE=æ AH=ʌ AO=ɔ AW=aʊ AX=ə AXR=ɚ AY=aɪ EH=ɛ ER=ɝ EY=eɪ IH=ɪ IX=ɨ IY=i OW=oʊ OY=ɔɪ UH=ʊ UW=u UX=ʉ "
        "B=b CH=tʃ D=d DH=ð DX=ɾ EL=l EM=m EN=n F=f G=ɡ HH=h JH=dʒ K=k L=l M=m N=n NG=ŋ P=p Q=ʔ R=ɹ S=s SH=ʃ T=t "
        "TH=θ V=v W=w WH=ʍ Y=j Z=z ZH=ʒ"
    ).split()
)
SILENCES = frozenset(("", "sil", "<sil>", "sp", "pau", "<eps>", "h#", "#", "_"))  # as aligners name a pause
STRESS_DIGITS = "012"


@dataclass(frozen=True)
class Phone:
    """One phone: its name in ARPABET or IPA ("" is silence), start and stop in seconds of the voice."""

    name: str
    start: float
    stop: float

    @property
    def ipa(self) -> str:
        """In IPA, without stress; "" for silence, the name itself where it is in neither alphabet."""
        if self.name.lower() in SILENCES:
            return ""
        arpabet = self.name.upper().rstrip(STRESS_DIGITS)
        return IPA_OF_ARPABET.get(arpabet, self.name) if self.name.isascii() else self.name

    @property
    def phone_class(self) -> PhoneClass:
        """What it asks of the lips."""
        letters = base_letters(self.ipa)
        if not letters:
            return PhoneClass.SILENCE
        return CLASS_OF_IPA.get(letters[0], PhoneClass.CONSONANT)


def base_letters(ipa: str) -> str:
    """IPA without diacritics, stress and length: NFD parts a letter from its diacritic; the rest are no letters."""
    return "".join(s for s in unicodedata.normalize("NFD", ipa) if unicodedata.category(s) in ("Ll", "Lu", "Lo"))


def speech_of(waveform: np.ndarray, phones: Iterable[Phone]) -> Speech:
    """A recording (samples,) at 16 kHz as the renderer of mouths takes it: what none of its phones covers is silent."""
    phonemes, end = [], 0.0
    for phone in phones:
        if phone.start > end:
            phonemes.append(Phoneme("", end, phone.start))
        phonemes.append(Phoneme(phone.ipa, phone.start, phone.stop))
        end = phone.stop
    seconds = len(waveform) / SAMPLE_RATE_HZ
    if seconds > end:
        phonemes.append(Phoneme("", end, seconds))
    return Speech(waveform, tuple(phonemes))


def phones_of_espeak(phonemes: Iterable[Phoneme]) -> tuple[Phone, ...]:
    """The phones of a text that espeak-ng has spoken (`audio.espeak.speak`), at the times of its waveform."""
    return tuple(Phone(phoneme.ipa, phoneme.start, phoneme.end) for phoneme in phonemes)
