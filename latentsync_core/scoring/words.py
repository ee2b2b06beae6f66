"""Scores as people read them: a table for the terminal, and a few sentences that say what the numbers mean.

The thresholds were measured: filmed speakers with their own sound agree by 0.25 to 0.4 (they open and spread the mouth
as they like), drawn heads and good results by 0.7 and more, anybody with another's voice by 0.2 or less.
"""

import math
from collections.abc import Iterator
from typing import Any

from .clip_score import ClipScore

CLEAR, SOME = 0.5, 0.24  # of agreement
SURE = 0.2  # of confidence, from which a lag can be believed
ON_TIME_FRAMES = 2  # at 25 per second; within them nobody notices
TREMBLING = 1.5  # of jitter and flicker over the source's
BLURRED = 0.6  # of sharpness over the source's
SAME_PERSON = 2.0  # percent of the eye distance between two shapes of one face
NAMES = {
    "correlation": "opening against what the voice asks",
    "width": "width against what the voice asks",
    "loudness": "opening against how loud the voice is",
    "agreement": "agreement of lips and voice, at the offset",
    "confidence": "how sure that is (above all other shifts)",
    "offset_frames": "offset, frames at 25 per second",
    "offset_ms": "offset, ms (above 0: the sound is late)",
    "mouth": "the mouth",
    "opening": "mean opening, eye distances",
    "opening_range": "its standard deviation",
    "jitter": "jitter in the head, % of the eye distance",
    "flicker": "flicker, grey levels",
    "sharpness": "sharpness over the face around it",
    "borders": "change at window borders over elsewhere",
    "source": "beside its source",
    "frames": "frames",
    "faces": "frames with the face",
    "seconds": "seconds",
    "psnr": "PSNR of the redrawn region, dB",
    "ssim": "SSIM of the redrawn region",
    "outside_psnr": "PSNR of all else, dB (-: identical)",
    "outside_changed": "share of all else painted over",
    "identity": "distance of the face's shape, %",
    "source.leak": "leak of the source's own words",
    "source.leak.slope": "share of the source's opening that is left",
    "source.leak.correlation": "correlation with the source's opening",
    "source.leak.by_chance": "which chance gives up to",
    "sync_c": "Sync-C, confidence (more is better)",
    "sync_d": "Sync-D, distance (less is better)",
    "syncnet": "SyncNet v2",
    "syncnet.crop": "faces cut by the rule",
    "phones.closed": "share of p, b, m with the lips shut",
    "phones.closed_by_chance": "which chance gives",
    "phones.closures": "p, b and m counted",
    "phones.openings": "mean opening by phone, eye distances",
    "phones.frames": "frames of each",
    "phones.false_openings": "share of silent frames with an open mouth",
    "phones.silent_frames": "silent frames counted",
    "stable_syncnet.similarity": "mean cosine similarity",
    "stable_syncnet.accuracy": "share of windows above 0.5",
    "stable_syncnet": "StableSyncNet",
    "phones": "phones",
}


def table(score: ClipScore) -> str:
    """All numbers, one a line, in groups."""
    return "\n".join(_lines(score.to_dict(), ()))


def _lines(values: dict[str, Any], groups: tuple[str, ...]) -> Iterator[str]:
    indent = "  " * len(groups)
    for key, value in values.items():
        name = NAMES.get(".".join((*groups, key))) or NAMES.get(key, key.replace("_", " "))
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from _lines(value, (*groups, key))
        elif not isinstance(value, list) and not (value is None and key == "source"):
            yield f"{indent}{name:<{46 - len(indent)}} {_number(value)}"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return "-" if value is None else str(value)


def summary(score: ClipScore) -> str:
    """What the numbers say, in a few sentences."""
    return " ".join([sync_sentence(score), *source_sentences(score)])


def sync_sentence(score: ClipScore) -> str:
    """Whether lips and voice agree, and when."""
    sync = score.sync
    if math.isnan(sync.agreement) or sync.agreement < SOME or sync.confidence < SURE:
        return (
            f"The mouth does not follow this voice (agreement {_hundredths(sync.agreement)}; another's voice gives up "
            "to 0.2)."
        )
    degree = "clearly follows" if sync.agreement >= CLEAR else "follows"
    text = f"The mouth {degree} the voice (agreement {sync.agreement:.2f})"
    if abs(sync.offset_frames) <= ON_TIME_FRAMES:
        return f"{text}, on time (offset {sync.offset_ms:+.0f} ms)."
    late = "sound" if sync.offset_ms > 0 else "mouth"
    return f"{text}, but the {late} is {abs(sync.offset_ms):.0f} ms late."


def source_sentences(score: ClipScore) -> Iterator[str]:
    """What changed beside the source: steadiness, sharpness, everything else."""
    source, mouth = score.source, score.mouth
    if source is None:
        return
    steady = max(mouth.jitter / source.jitter, mouth.flicker / source.flicker) if source.jitter * source.flicker else 0
    speaks = f"jitter {mouth.jitter:.2f} % (source {source.jitter:.2f} %)"
    yield f"It {'moves more restlessly than' if steady > TREMBLING else 'is as steady as'} the source's: {speaks}."
    if source.sharpness:
        share = mouth.sharpness / source.sharpness
        yield f"It is {'softer than' if share < BLURRED else 'about as sharp as'} the source's ({share:.0%})."
    outside = source.outside_changed
    if not math.isnan(outside):
        kept = "Nothing else in the picture was painted over."
        yield kept if outside == 0 else f"{outside:.1%} of the rest of the picture differs from the source."
    if source.identity > SAME_PERSON:
        yield f"The face's shape differs by {source.identity:.1f} %: it may be another person."


def _hundredths(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.2f}"
