"""Which mouth each output frame of a clip shall have: what the voice asks for, in the range natural to its face.

A face is calibrated shot by shot, since another shot may show another person: how far its mouth opens, how wide it is
at rest, and which frames show the inside of the mouth best.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ...audio import FEATURE_RATE_HZ
from ...faces import FaceTrack
from ...faces.mouth_opening import LOWER_INNER_LIP, UPPER_INNER_LIP
from .face_plane import MOUTH_CORNERS, face_planes
from .inner_mouth import SHOWS_TEETH
from .reshape import Mouth

SMOOTHING_SECONDS = 0.03  # standard deviation over time of what the voice asks for
LEAST_SHAPE, MOST_SHAPE = (0.0, -1.0, 0.0), (1.0, 1.0, 1.0)  # opening, width, rounding
USUAL_OPENING = 0.22  # eye distances: a wide open mouth where a shot does not show how far this one opens
LEAST_OPENING, MOST_OPENING = 0.22, 0.30
WIDE_OPEN, WIDER = 95, 1.2  # percentile of the filmed openings, and the factor on it, that counts as wide open
TALKING = 0.06  # eye distances by which openings differ in a shot whose mouth moves
EMPHASIS, EMPHASIS_SECONDS = 0.5, 0.08  # of what stands out from its surroundings in time: brief closures close
SHUT = 0.06  # of the predictor's range, below which lips are shut
WIDTH_GAIN, ROUNDING_GAIN, OPENING_GAIN = 0.10, 0.20, 0.10  # of the resting width per unit of a parameter
DONORS = 5  # frames at most that are looked at for the inside of a mouth
SMALLEST, SMALL = 40.0, 56.0  # pixels across a face: below the first nothing is drawn, from the second on all
EDGE_ON, TURNED = 0.35, 0.55  # of the area that a face's plane shows from the front; likewise


@dataclass(frozen=True)
class Shot:
    """Source frames `start` to `stop` (exclusive) of one face, and what is natural to it.

    opening: gap of its wide open mouth; width: of its mouth at rest; eye distances. donors: source frames that show
    the inside of the mouth, the widest open first; where it never shows, the widest of all.
    """

    start: int
    stop: int
    opening: float
    width: float
    donors: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MouthPlan:
    """A clip's mouths. planes: (N, 2, 3) by source frame, NaN without a face. shots: all that hold a face, in order.

    source: (M,) the source frame of each output frame; mouths: M of them.
    """

    planes: np.ndarray
    shots: tuple[Shot, ...]
    source: np.ndarray
    mouths: tuple[Mouth, ...]

    def shot_of(self, frame: int) -> Shot:
        """The shot of a source frame with a face."""
        return next(shot for shot in self.shots if shot.start <= frame < shot.stop)


def plan_mouths(
    track: FaceTrack, source: Sequence[int], asked: np.ndarray, strength: np.ndarray | None = None
) -> MouthPlan:
    """Plan the mouths of a clip.

    Args:
        track: of the face, by source frame.
        source: (M,) the source frame of each output frame.
        asked: (M, 3) opening 0..1, width -1..1, rounding 0..1 of each output frame, see `asked_shapes`.
        strength: (M,) share of the new mouth in 0..1; 1 by default. It falls further for faces too small or too far
            turned to be drawn, and is 0 where there is none.
    """
    source = np.asarray(source)
    planes = face_planes(track.mesh, track.cuts)
    clear = drawable(planes, track.boxes)
    openings, widths = measured_mouths(track.mesh, planes)
    shots = tuple(calibrated(start, stop, openings, widths, clear) for start, stop in shots_of(track))
    share = clear[source] * (1.0 if strength is None else strength)
    rest, wide = np.ones(len(track)), np.ones(len(track))
    for shot in shots:
        wide[shot.start : shot.stop], rest[shot.start : shot.stop] = shot.opening, shot.width
    opening, width, rounding = asked.T
    gap = np.clip((opening - SHUT) / (1 - SHUT), 0, 1)
    gaps = gap * wide[source]
    widths = rest[source] * (1 + WIDTH_GAIN * width - ROUNDING_GAIN * rounding - OPENING_GAIN * gap)
    mouths = (Mouth(*values) for values in zip(gaps.tolist(), widths.tolist(), share.tolist(), strict=True))
    return MouthPlan(planes, shots, source, tuple(mouths))


def asked_shapes(predicted: np.ndarray, times: Sequence[float]) -> np.ndarray:
    """What a voice asks of the mouth at `times` (seconds): (M, 3) as in `predicted`.

    Smoothed a little, so that nothing trembles, and brief closures, which a prediction rounds off, made deeper.

    predicted: (T, 3) by `MouthPredictor.mouth`, at 50 Hz. Before and after the voice its first and last shapes hold.
    """
    smooth = gaussian_filter1d(predicted, SMOOTHING_SECONDS * FEATURE_RATE_HZ, axis=0, mode="nearest")
    around = gaussian_filter1d(smooth, EMPHASIS_SECONDS * FEATURE_RATE_HZ, axis=0, mode="nearest")
    shaped = np.clip(smooth + EMPHASIS * (smooth - around), LEAST_SHAPE, MOST_SHAPE)
    steps = np.asarray(times, float) * FEATURE_RATE_HZ
    return np.stack([np.interp(steps, np.arange(len(shaped)), curve) for curve in shaped.T], 1)


def measured_mouths(mesh: np.ndarray, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Opening and width (N,) of the filmed mouths in eye distances, NaN where there is no face."""
    points = mesh[:, (UPPER_INNER_LIP, LOWER_INNER_LIP, *MOUTH_CORNERS), :2]
    present = np.isfinite(planes[:, 0, 0])
    found = np.full((len(mesh), 2), np.nan)
    across = (points[present][:, [1, 3]] - points[present][:, [0, 2]]).transpose(0, 2, 1)  # (n, 2, gap and width)
    on_plane = np.linalg.solve(planes[present][:, :, :2], across)
    found[present] = np.stack([on_plane[:, 1, 0].clip(min=0), on_plane[:, 0, 1]], 1)
    return found[:, 0], found[:, 1]


def shots_of(track: FaceTrack) -> list[tuple[int, int]]:
    """The intervals [start, stop) between cuts that hold a face."""
    ends = [0, *track.cuts, len(track)]
    return [(start, stop) for start, stop in zip(ends, ends[1:], strict=False) if track.present[start:stop].any()]


def calibrated(start: int, stop: int, openings: np.ndarray, widths: np.ndarray, clear: np.ndarray) -> Shot:
    """The shot of some source frames; openings, widths: (N,) as measured; clear: (N,) share of `drawable`."""
    known = start + np.flatnonzero(np.isfinite(openings[start:stop]))
    if (clear[known] > 0).any():
        known = known[clear[known] > 0]
    gaps = openings[known]
    wide = float(np.percentile(gaps, WIDE_OPEN))
    talks = wide - np.percentile(gaps, 100 - WIDE_OPEN) >= TALKING
    opening = float(np.clip(WIDER * wide, LEAST_OPENING, MOST_OPENING)) if talks else USUAL_OPENING
    rest = float(np.median(widths[known][gaps <= np.median(gaps)]))
    widest = known[np.argsort(-gaps, kind="stable")]
    shown = widest[: max(int((gaps >= SHOWS_TEETH).sum()) // 4, 1)]  # spread out, as neighbours look the same
    donors = shown[:: max(len(shown) // DONORS, 1)][:DONORS]
    return Shot(start, stop, opening, rest, tuple(donors.tolist()))


def drawable(planes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Share 0..1 (N,) in which a face is large and frontal enough to be drawn; 0 where there is none."""
    across, down = planes[:, :, 0], planes[:, :, 1]
    area = np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0])
    frontal = area / np.maximum(np.linalg.norm(across, axis=1), np.linalg.norm(down, axis=1)) ** 2
    size = (boxes[:, 2] - boxes[:, 0] - SMALLEST) / (SMALL - SMALLEST)
    share = np.clip(size, 0, 1) * np.clip((frontal - EDGE_ON) / (TURNED - EDGE_ON), 0, 1)
    return np.nan_to_num(share)
