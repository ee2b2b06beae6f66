"""A model on speech of a human being: recorded sentences with timed phones dub a rendered head that says other words.

Nobody filmed the reader, so the truth is a drawing: the same head, its mouth moved by the phones that an aligner timed.
Independent of that drawing are the scores by phone, the lag behind the voice's energy, and the leak of the source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..audio import FEATURE_RATE_HZ, SAMPLE_RATE_HZ
from ..faces.mouth_opening import correlation
from ..generators.generator import Generator
from ..models.loading import Models
from ..pipeline.settings import Settings
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..scoring.lag import frames_late
from ..scoring.leak import Leak, leak
from ..scoring.phone_scores import PhoneScores, phone_scores, pooled
from ..scoring.phones import PhoneClass
from ..scoring.voice import read_mouth
from ..training.synthetic.animate import FULL_OPENING
from ..training.synthetic.clips import FPS
from ..training.synthetic.portrait import load_portrait
from ..training.synthetic.scripts import seeded_speech
from .evaluation_clips import EvaluationClip, SpokenBy, evaluate_clip, measured_opening, render_pair
from .recorded_sentences import RecordedSentence

SEED = 11  # of the sources' words and motions
SIZE = 256  # pixels of the rendered head
ENERGY_SECONDS = 0.04  # of sound around a frame
SOUND_SECONDS = 0.3  # at the end of a silent voice
HEARD_FRAMES = 15  # at the end of a silent voice, in which the model may hear that sound: it and 0.3 s before it
TRUTH_ROW, READ_ROW, SOURCE_ROW = "drawn from the phones", "read off the voice", "the source, not dubbed"


@dataclass(frozen=True)
class RecordedScores:
    """The scores of several dubbed sentences as one.

    phones: see PhoneScores. correlation, lag: of the opening with the drawn truth's, mean and mean magnitude in frames.
    energy_correlation, energy_lag: the same with the voice's energy, which knows no phones.
    leak: of the source's own words into the opening.
    """

    phones: PhoneScores
    correlation: float
    lag: float
    energy_correlation: float
    energy_lag: float
    leak: Leak

    def to_dict(self) -> dict:
        """For JSON, which has no NaN."""
        numbers = {name: getattr(self, name) for name in ("correlation", "lag", "energy_correlation", "energy_lag")}
        rounded = {name: None if np.isnan(value) else round(value, 4) for name, value in numbers.items()}
        return {**rounded, "phones": self.phones.to_dict(), "leak": self.leak.to_dict()}


@dataclass(frozen=True, eq=False)
class RecordedEvaluation:
    """The scores of one model.

    rows: (name, scores), before the model the drawn truth, what the embedded networks read off the voice, and the
    source. silence: what the sources leak into their dub with a silent voice at the first setting, which `silence_row`
    names; silent_opening: the mean opening there.
    """

    rows: tuple[tuple[str, RecordedScores], ...]
    silence_row: str
    silence: Leak
    silent_opening: float

    def to_dict(self) -> dict:
        """For JSON."""
        silent = {**self.silence.to_dict(), "opening": round(self.silent_opening, 4)}
        return {
            "speech": {name: scores.to_dict() for name, scores in self.rows},
            "silence": {self.silence_row: silent},
        }


def recorded_clips(sentences: Sequence[RecordedSentence]) -> list[EvaluationClip]:
    """An evaluation clip for each sentence, its source saying other words by another voice."""
    portrait, clips = load_portrait(), []
    for index, sentence in enumerate(sentences):
        rng = np.random.default_rng([SEED, index])
        other = SpokenBy(*seeded_speech(sentence.speech.duration, rng, held_out=True))
        spoken = SpokenBy(sentence.speech, sentence.name)
        clips.append(render_pair(portrait, f"{index}: {sentence.name}", spoken, other, rng, SIZE))
    return clips


def evaluate_recorded(
    models: Models | Generator,
    sentences: Sequence[RecordedSentence],
    ways: Mapping[str, Settings],
    folder: Path,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> RecordedEvaluation:
    """Dub a source with every sentence in each of some ways, and with silence in the first of them.

    Args:
        models: LatentSync's networks, or any generator.
        sentences: recorded speech.
        ways: settings of the pipeline by the name of their row.
        folder: for the dubbed clips.
        on_progress: counts dubbed clips.
        check_cancelled: as in `lipsync`.
    """
    clips = recorded_clips(sentences)
    score = partial(score_row, clips, sentences)
    lengths = [len(clip.source.frames) for clip in clips]
    rows = [
        (TRUTH_ROW, score([measured_opening(clip.ground_truth.frames) for clip in clips])),
        (READ_ROW, score(list(map(read_opening, sentences, lengths)))),
        (SOURCE_ROW, score([measured_opening(clip.source.frames) for clip in clips])),
    ]
    total = (len(ways) + 1) * len(clips)
    counted = iter(range(1, total + 1))

    def dub(clip: EvaluationClip, chosen: Settings) -> np.ndarray:
        opening = evaluate_clip(clip, models, chosen, folder, check_cancelled).opening
        on_progress(next(counted), total)
        return opening

    rows += [(name, score([dub(clip, chosen) for clip in clips])) for name, chosen in ways.items()]
    first = next(iter(ways))
    still = [dub(silenced(clip), ways[first])[:-HEARD_FRAMES] for clip in clips]
    mean = float(np.nanmean(np.concatenate(still)))
    return RecordedEvaluation(tuple(rows), first, joined_leak(clips, still), mean)


def read_opening(sentence: RecordedSentence, frames: int) -> np.ndarray:
    """The opening (frames,) that the embedded networks read off a voice, in the unit of `mouth_opening`; no picture."""
    opening = read_mouth(sentence.waveform)[:, 0] * FULL_OPENING
    return np.interp(np.arange(frames) / FPS, np.arange(len(opening)) / FEATURE_RATE_HZ, opening)


def silenced(clip: EvaluationClip) -> EvaluationClip:
    """The same clip, to be dubbed with a voice that is silent until the last 0.3 s.

    A recording that is silent throughout is refused, and Whisper's spectrogram of faint noise is that of loud noise; so
    the loudest moment of the sentence sets the level at the end.
    """
    speech = clip.ground_truth.speech
    samples = round(SOUND_SECONDS * SAMPLE_RATE_HZ)
    middle = int(np.argmax(np.abs(speech.waveform)))
    first = int(np.clip(middle - samples // 2, 0, len(speech.waveform) - samples))
    still = np.zeros_like(speech.waveform)
    still[-samples:] = speech.waveform[first : first + samples]
    return replace(clip, ground_truth=replace(clip.ground_truth, speech=replace(speech, waveform=still)))


def score_row(
    clips: Sequence[EvaluationClip], sentences: Sequence[RecordedSentence], openings: Sequence[np.ndarray]
) -> RecordedScores:
    """Score the openings (N,) of each clip against its sentence."""
    phones, against_truth, against_energy = [], [], []
    for clip, sentence, opening in zip(clips, sentences, openings, strict=True):
        truth = clip.ground_truth.opening[: len(opening)]
        opening = opening[: len(truth)]
        energy = frame_energy(sentence.waveform, len(opening))
        phones.append(phone_scores(opening, np.arange(len(opening)) / FPS, sentence.phones))
        against_truth.append((correlation(opening, truth), abs(frames_late(opening, truth))))
        against_energy.append((correlation(opening, energy), frames_late(opening, energy)))
    (mean, lag), (energy_mean, energy_lag) = np.nanmean(against_truth, axis=0), np.nanmean(against_energy, axis=0)
    return RecordedScores(
        phones=pooled(phones),
        correlation=float(mean),
        lag=float(lag),
        energy_correlation=float(energy_mean),
        energy_lag=float(energy_lag),
        leak=joined_leak(clips, openings),
    )


def joined_leak(clips: Sequence[EvaluationClip], openings: Sequence[np.ndarray]) -> Leak:
    """The leak of the sources into the openings of all clips, as of one long clip.

    Each curve is taken about its own mean: that one clip is wider open than another is no leak of its words.
    """
    pairs = [(opening, clip.source.opening[: len(opening)]) for clip, opening in zip(clips, openings, strict=True)]
    pairs = [(opening[: len(source)], source) for opening, source in pairs]
    dubbed = np.concatenate([opening - np.nanmean(opening) for opening, _ in pairs])
    return leak(dubbed, np.concatenate([source - source.mean() for _, source in pairs]))


def frame_energy(waveform: np.ndarray, frames: int) -> np.ndarray:
    """Root mean square (frames,) of the 40 ms around every frame's instant at 25 frames per second."""
    half = round(ENERGY_SECONDS * SAMPLE_RATE_HZ / 2)
    padded = np.pad(np.asarray(waveform, float) ** 2, (half, half + frames * SAMPLE_RATE_HZ // FPS))
    starts = np.arange(frames) * SAMPLE_RATE_HZ // FPS
    return np.sqrt([padded[start : start + 2 * half].mean() for start in starts])


def recorded_table(found: RecordedEvaluation) -> str:
    """Markdown tables: what the lips do at the phones, then whom the mouth follows: truth, energy, source."""
    kinds = (PhoneClass.OPEN, PhoneClass.MID, PhoneClass.CLOSE, PhoneClass.BILABIAL)
    heads = ("P B M closed", "by chance", *(kind.value for kind in kinds), "false openings")
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, row in found.rows:
        closed, chance, false = row.phones.closed, row.phones.closed_by_chance, row.phones.false_openings
        openings = (number(row.phones.openings[kind], 3) for kind in kinds)
        lines.append(f"| {name} | {' | '.join((percent(closed), percent(chance), *openings, percent(false)))} |")
    counted = found.rows[0][1].phones
    frames = ", ".join(f"{counted.frames[kind]} frames of {kind.value}s" for kind in kinds[:3])
    lines += ["", f"{counted.closures} closures, {frames}, {counted.silent_frames} silent frames.", ""]
    heads = ("correlation", "lag", "with energy", "energy lag", "leak", "r of the leak", "r by chance")
    lines += [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, row in found.rows:
        followed = (row.correlation, row.lag, row.energy_correlation, row.energy_lag)
        cells = (number(value, decimals) for value, decimals in zip(followed, (3, 2, 3, 2), strict=True))
        lines.append(f"| {name} | {' | '.join((*cells, *leak_cells(row.leak)))} |")
    cells = ("-", "-", "-", "-", *leak_cells(found.silence))
    lines.append(f"| {found.silence_row}, a silent voice | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Mean opening under silence: {number(found.silent_opening, 3)}."])


def leak_cells(found: Leak) -> tuple[str, str, str]:
    """Slope, correlation, and what correlation chance gives."""
    return number(found.slope, 2), number(found.correlation, 2), number(found.by_chance, 2)


def number(value: float, decimals: int) -> str:
    """A dash where there is no number."""
    return "-" if np.isnan(value) else f"{value:.{decimals}f}"


def percent(share: float) -> str:
    """A dash where there is no number."""
    return "-" if np.isnan(share) else f"{100 * share:.0f} %"
