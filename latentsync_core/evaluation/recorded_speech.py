"""A model on speech of a human being: recorded sentences with timed phones dub a rendered head that says other words.

Nobody filmed the reader, so the truth is a drawing: the same head, its mouth moved by the phones that an aligner timed.
Independent of that drawing are the scores by phone, the lag behind the voice's energy, and the leak of the source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..audio import SAMPLE_RATE_HZ
from ..audio.espeak import silence
from ..faces.mouth_opening import correlation
from ..models.loading import Models
from ..pipeline.settings import Settings
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..scoring.leak import Leak, leak
from ..scoring.phone_scores import PhoneScores, phone_scores, pooled
from ..scoring.phones import PhoneClass
from ..training.synthetic.clips import FPS
from ..training.synthetic.portrait import load_portrait
from ..training.synthetic.scripts import seeded_speech
from .evaluation_clips import EvaluationClip, SpokenBy, evaluate_clip, measured_opening, render_pair
from .metrics import best_lag
from .recorded_sentences import RecordedSentence

SEED = 11  # of the sources' words and motions
SIZE = 256  # pixels of the rendered head
ENERGY_SECONDS = 0.04  # of sound around a frame
TRUTH_ROW, SOURCE_ROW = "drawn from the phones", "the source, not dubbed"


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
    """rows: (name, scores), the drawn truth and the source before the model. silence: (name, leak, mean opening)."""

    rows: tuple[tuple[str, RecordedScores], ...]
    silence: tuple[tuple[str, Leak, float], ...]

    def to_dict(self) -> dict:
        """For JSON."""
        silent = {name: {**found.to_dict(), "opening": round(mean, 4)} for name, found, mean in self.silence}
        return {"speech": {name: scores.to_dict() for name, scores in self.rows}, "silence": silent}


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
    models: Models,
    sentences: Sequence[RecordedSentence],
    settings: Sequence[Settings],
    folder: Path,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> RecordedEvaluation:
    """Dub a source with every sentence for each of some settings, and with silence for the first of them.

    Args:
        models: the networks.
        sentences: recorded speech.
        settings: of the pipeline, one for each guidance scale.
        folder: for the dubbed clips.
        on_progress: counts dubbed clips.
        check_cancelled: as in `lipsync`.
    """
    clips = recorded_clips(sentences)
    score = partial(score_row, clips, sentences)
    rows = [
        (TRUTH_ROW, score([measured_opening(clip.ground_truth.frames) for clip in clips])),
        (SOURCE_ROW, score([measured_opening(clip.source.frames) for clip in clips])),
    ]
    silent, done, total = [], 0, (len(settings) + 1) * len(clips)
    for chosen in settings:
        voices = {"speech": clips, "silence": [silenced(clip) for clip in clips] if chosen is settings[0] else []}
        openings = {}
        for voice, dubbed in voices.items():
            openings[voice] = []
            for clip in dubbed:
                openings[voice].append(evaluate_clip(clip, models, chosen, folder, check_cancelled).opening)
                done += 1
                on_progress(done, total)
        name = f"guidance {chosen.guidance.scale:g}"
        rows.append((name, score(openings["speech"])))
        if openings["silence"]:
            mean = float(np.nanmean(np.concatenate(openings["silence"])))
            silent.append((name, joined_leak(clips, openings["silence"]), mean))
    return RecordedEvaluation(tuple(rows), tuple(silent))


def silenced(clip: EvaluationClip) -> EvaluationClip:
    """The same clip, to be dubbed with digital silence of the same length."""
    still = silence(clip.ground_truth.speech.duration)
    return replace(clip, ground_truth=replace(clip.ground_truth, speech=still))


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
        against_truth.append((correlation(opening, truth), abs(best_lag(opening, truth))))
        against_energy.append((correlation(opening, energy), best_lag(opening, energy)))
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
    """The leak of the sources into the openings of all clips, as of one long clip."""
    frames = [min(len(opening), len(clip.source.opening)) for clip, opening in zip(clips, openings, strict=True)]
    dubbed = np.concatenate([opening[:count] for opening, count in zip(openings, frames, strict=True)])
    sources = np.concatenate([clip.source.opening[:count] for clip, count in zip(clips, frames, strict=True)])
    return leak(dubbed, sources)


def frame_energy(waveform: np.ndarray, frames: int) -> np.ndarray:
    """Root mean square (frames,) of the 40 ms around every frame's instant at 25 frames per second."""
    half = round(ENERGY_SECONDS * SAMPLE_RATE_HZ / 2)
    padded = np.pad(np.asarray(waveform, float) ** 2, (half, half + frames * SAMPLE_RATE_HZ // FPS))
    starts = np.arange(frames) * SAMPLE_RATE_HZ // FPS
    return np.sqrt([padded[start : start + 2 * half].mean() for start in starts])


def recorded_table(found: RecordedEvaluation) -> str:
    """Two Markdown tables: the scores on speech, and what the source leaks under silence."""
    kinds = (PhoneClass.OPEN, PhoneClass.MID, PhoneClass.CLOSE, PhoneClass.BILABIAL)
    head = ("P B M closed", "by chance", *(kind.value for kind in kinds), "false openings", "correlation", "lag")
    lines = [f"| | {' | '.join((*head, 'energy', 'energy lag', 'leak', 'r', 'r by chance'))} |", "|---" * 15 + "|"]
    for name, row in found.rows:
        phones = row.phones
        shares = [f"{100 * share:.0f} %" for share in (phones.closed, phones.closed_by_chance)]
        openings = [f"{phones.openings[kind]:.3f}" for kind in kinds]
        rest = (f"{100 * phones.false_openings:.0f} %", f"{row.correlation:.3f}", f"{row.lag:.2f}")
        cells = (
            *shares,
            *openings,
            *rest,
            f"{row.energy_correlation:.3f}",
            f"{row.energy_lag:+.2f}",
            *leak_cells(row.leak),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    counted = found.rows[0][1].phones
    frames = ", ".join(f"{counted.frames[kind]} frames of {kind.value}s" for kind in kinds[:3])
    lines += ["", f"{counted.closures} closures, {frames}, {counted.silent_frames} silent frames.", ""]
    lines += ["| under silence | leak | r | r by chance | mean opening |", "|---" * 5 + "|"]
    lines += [f"| {name} | {' | '.join((*leak_cells(row), f'{mean:.3f}'))} |" for name, row, mean in found.silence]
    return "\n".join(lines)


def leak_cells(row: Leak) -> tuple[str, str, str]:
    """Slope, correlation and the correlation by chance."""
    cells = (f"{value:.2f}" if not np.isnan(value) else "-" for value in (row.slope, row.correlation, row.by_chance))
    slope, found, chance = cells
    return slope, found, chance
