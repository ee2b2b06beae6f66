"""Whether the lips do what the phones ask: shut for P, B and M, open for open vowels, rest in silence.

An opening is the mesh's (`faces.mouth_opening`), in distances of the outer eye corners. A mesh has no absolute zero:
shut lips may measure 0.00 in one face and 0.02 in another. "Closed" is therefore relative to the clip, and a share of
closures says little without what chance gives: any curve is in its lowest fifth a fifth of the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .phones import Phone, PhoneClass

CLOSED_SHARE = 0.2  # closed: within the lowest fifth of the openings while something is said
FALSE_OPENING_MARGIN = 0.02  # eye distances above closed; the mesh's noise on still lips is below 0.01
SETTLING_SECONDS = 0.1  # at either end of a silence the lips are on their way (as the silence gate's lead and hang)
SAME_INSTANT_SECONDS = 1e-6  # times this close differ by rounding only
LEAST_CHANCE_SHIFT_SECONDS = 0.2  # a smaller shift of the curve is not yet another moment of the speech


@dataclass(frozen=True)
class PhoneScores:
    """What the lips did at the phones; NaN where there was nothing to count.

    closed: share of P, B and M at which the mouth is closed within one frame. closed_by_chance: the same share for the
    curve moved to other moments of the clip, on average; what the lips know of the voice is the difference.
    closures: how many P, B and M that is.
    openings: mean opening in eye distances by class of phone. frames: how many frames that is, by class.
    false_openings: share of silent frames with an opening clearly above closed. silent_frames: how many that is.
    """

    closed: float
    closed_by_chance: float
    closures: int
    openings: Mapping[PhoneClass, float]
    frames: Mapping[PhoneClass, int]
    false_openings: float
    silent_frames: int

    def to_dict(self) -> dict:
        """For JSON, which has no NaN."""
        return {
            "closed": _rounded(self.closed),
            "closed_by_chance": _rounded(self.closed_by_chance),
            "closures": self.closures,
            "openings": {kind.value: _rounded(value) for kind, value in self.openings.items()},
            "frames": {kind.value: count for kind, count in self.frames.items()},
            "false_openings": _rounded(self.false_openings),
            "silent_frames": self.silent_frames,
        }


def phone_scores(opening: np.ndarray, times: np.ndarray, phones: Sequence[Phone]) -> PhoneScores:
    """Compare the mouth's opening with timed phones.

    Args:
        opening: (N,) in eye distances, NaN where there is no face.
        times: (N,) seconds of the voice at each frame, rising.
        phones: in order of time. What lies between or beyond them is unknown and not counted.
    """
    opening, times = np.asarray(opening, float), np.asarray(times, float)
    if len(opening) != len(times):
        raise ValueError(f"{len(opening)} openings at {len(times)} times")
    classes = classes_at(times, phones)
    known = ~np.isnan(opening)
    spoken = known & np.array([found not in (None, PhoneClass.SILENCE) for found in classes], bool)
    closed_below = float(np.quantile(opening[spoken], CLOSED_SHARE)) if spoken.any() else float("nan")
    closed = opening <= closed_below  # False where either is NaN
    moments = closure_frames(times, phones, known)
    silent = known & settled_silence(times, phones)
    members = {kind: known & np.array([found is kind for found in classes], bool) for kind in PhoneClass}
    return PhoneScores(
        closed=_share([closed[frames].any() for frames in moments]),
        closed_by_chance=chance_of_closure(closed, times, moments),
        closures=len(moments),
        openings={kind: float(opening[at].mean()) if at.any() else float("nan") for kind, at in members.items()},
        frames={kind: int(at.sum()) for kind, at in members.items()},
        false_openings=_share(opening[silent] > closed_below + FALSE_OPENING_MARGIN) if spoken.any() else float("nan"),
        silent_frames=int(silent.sum()),
    )


def classes_at(times: np.ndarray, phones: Sequence[Phone]) -> list[PhoneClass | None]:
    """The class of the phone at each of some times (N,); None where there is no phone."""
    starts = np.array([phone.start for phone in phones])
    kinds = [phone.phone_class for phone in phones]
    times = times + SAME_INSTANT_SECONDS
    found = np.searchsorted(starts, times, side="right") - 1
    return [
        kinds[index] if index >= 0 and time < phones[index].stop else None
        for index, time in zip(found, times, strict=True)
    ]


def closure_frames(times: np.ndarray, phones: Sequence[Phone], known: np.ndarray) -> list[np.ndarray]:
    """For every P, B and M the indices of its frames, with one more at either side; only where a face is known."""
    frame = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    moments = []
    for phone in phones:
        if phone.phone_class is PhoneClass.BILABIAL:
            early, late = phone.start - frame - SAME_INSTANT_SECONDS, phone.stop + frame - SAME_INSTANT_SECONDS
            inside = (times >= early) & (times < late) & known
            moments += [np.flatnonzero(inside)] if inside.any() else []
    return moments


def settled_silence(times: np.ndarray, phones: Sequence[Phone]) -> np.ndarray:
    """(N,) bool: in a silence, and the lips have had time to come to rest and need not open yet."""
    silent = np.zeros(len(times), bool)
    for start, stop in joined_silences(phones):
        silent |= (times >= start + SETTLING_SECONDS) & (times < stop - SETTLING_SECONDS)
    return silent


def joined_silences(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """Start and stop in seconds of every silence; aligners may part one pause in several."""
    joined: list[tuple[float, float]] = []
    for phone in phones:
        if phone.phone_class is PhoneClass.SILENCE:
            if joined and phone.start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(joined[-1][1], phone.stop)
            else:
                joined.append((phone.start, phone.stop))
    return joined


def chance_of_closure(closed: np.ndarray, times: np.ndarray, moments: Sequence[np.ndarray]) -> float:
    """The share of closures that a mouth moving as this one does, but at other moments, would hit.

    The mean over the curve's circular shifts within the frames from the first to the last closure's surroundings, so
    that neither its rhythm nor the silence around the speech changes the answer.
    """
    if not moments:
        return float("nan")
    frame = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    first, stop = moments[0][0], moments[-1][-1] + 1
    least = max(1, round(LEAST_CHANCE_SHIFT_SECONDS / frame)) if frame else 1
    part = closed[first:stop]
    shifted = (np.roll(part, shift) for shift in range(least, len(part) - least + 1))
    shares = [_share([curve[frames - first].any() for frames in moments]) for curve in shifted]
    return float(np.mean(shares)) if shares else float("nan")


def pooled(scores: Sequence[PhoneScores]) -> PhoneScores:
    """The scores of several clips as of one: each share weighed by what it counts."""
    closures, silent = [score.closures for score in scores], [score.silent_frames for score in scores]
    frames = {kind: [score.frames[kind] for score in scores] for kind in PhoneClass}
    return PhoneScores(
        closed=_weighted([score.closed for score in scores], closures),
        closed_by_chance=_weighted([score.closed_by_chance for score in scores], closures),
        closures=sum(closures),
        openings={kind: _weighted([score.openings[kind] for score in scores], frames[kind]) for kind in PhoneClass},
        frames={kind: sum(counts) for kind, counts in frames.items()},
        false_openings=_weighted([score.false_openings for score in scores], silent),
        silent_frames=sum(silent),
    )


def _weighted(values: Sequence[float], counts: Sequence[int]) -> float:
    """The mean of the defined values, each as often as it was counted."""
    defined = [(value, count) for value, count in zip(values, counts, strict=True) if count and not np.isnan(value)]
    total = sum(count for _, count in defined)
    return float(sum(value * count for value, count in defined) / total) if defined else float("nan")


def _share(hits: Sequence[bool] | np.ndarray) -> float:
    return float(np.mean(hits)) if len(hits) else float("nan")


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
