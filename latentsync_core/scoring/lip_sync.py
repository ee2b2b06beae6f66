"""Do the lips and the voice agree, and by how many frames are they apart: measured by the mesh, without a download.

No single curve tells: one speaker opens the mouth, another spreads it. So the opening is compared with the opening that
the voice asks for, the width with its spreading and rounding, and the speed of both. Their slow drift, by which a smile
or a turned head changes them, is taken out before lags are searched.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from ..faces.mouth_opening import correlation
from .lag import best_lag, lag_curve
from .mouth import MouthShape
from .voice import VoiceMouth

GRID_HZ = 25  # on which lags are searched, whatever the clip's rate: SyncNet's own
DRIFT_SECONDS, NOISE_SECONDS = 0.35, 0.04  # standard deviations of what is taken out and of what is smoothed
LOCAL_SECONDS = 1.0


@dataclass(frozen=True)
class LipSync:
    """How lips and voice agree.

    correlation: of the mouth's opening with what the voice asks for, frame by frame as it is, -1 to 1; width, loudness:
    of the mouth's width, and of the opening with the voice's level. offset_frames, at 25 per second, and offset_ms by
    which the sound comes later than the lips (as SyncNet counts). agreement: mean correlation of opening, width and
    their speeds there, slow drift taken out. confidence: how far that stands above the median over all shifts.
    """

    correlation: float
    width: float
    loudness: float
    offset_frames: int
    offset_ms: float
    agreement: float
    confidence: float


@dataclass(frozen=True, eq=False)
class LipSyncCurves:
    """What LipSync is read off, at 25 Hz: (n,) each, NaN where unknown.

    times: seconds. opening, asked: band-passed and in standard deviations. agreement: within a second around. lags:
    (31,) agreement for the sound coming -15 .. 15 frames later.
    """

    times: np.ndarray
    opening: np.ndarray
    asked: np.ndarray
    agreement: np.ndarray
    lags: np.ndarray


def lip_sync(shape: MouthShape, times: np.ndarray, voice: VoiceMouth) -> tuple[LipSync, LipSyncCurves]:
    """Compare the mouth of frames shown from `times` (N,) seconds on, shape (N,), with a voice."""
    grid = np.arange(times[0], times[-1] + 0.5 / GRID_HZ, 1 / GRID_HZ)
    opening, width = (band_passed(at_instants(curve, times, grid)) for curve in (shape.opening, shape.width))
    asked = band_passed(voice.at("opening", grid))
    spread = band_passed(voice.at("width", grid) - voice.at("rounding", grid))
    pairs = (opening, asked), (width, spread)
    speeds = [(np.gradient(found), np.gradient(wanted)) for found, wanted in pairs]
    lags = np.mean([lag_curve(found, wanted) for found, wanted in (*pairs, *speeds)], axis=0)
    lag = best_lag(lags)
    numbers = LipSync(
        correlation=correlation(shape.opening, voice.at("opening", times)),
        width=correlation(shape.width, voice.at("width", times) - voice.at("rounding", times)),
        loudness=correlation(shape.opening, voice.at("loudness", times)),
        offset_frames=lag.frames,
        offset_ms=1000 * lag.frames / GRID_HZ,
        agreement=lag.correlation,
        confidence=lag.confidence,
    )
    local = local_correlation(opening, asked)
    return numbers, LipSyncCurves(grid, standardized(opening), standardized(asked), local, lags)


def at_instants(curve: np.ndarray, times: np.ndarray, instants: np.ndarray) -> np.ndarray:
    """A curve known at `times`, at other instants; NaN where the frame on screen is unknown."""
    known = ~np.isnan(curve)
    if not known.any():
        return np.full(len(instants), np.nan)
    shown = np.clip(np.searchsorted(times, instants + 1e-6, side="right") - 1, 0, len(times) - 1)
    return np.where(known[shown], np.interp(instants, times[known], curve[known]), np.nan)


def band_passed(curve: np.ndarray) -> np.ndarray:
    """A curve at 25 Hz without its slow drift and its noise; unknown frames count for nothing and stay NaN."""
    known = ~np.isnan(curve)
    filled = np.where(known, curve, 0.0)

    def blurred(seconds: float) -> np.ndarray:
        weight = gaussian_filter1d(known.astype(float), seconds * GRID_HZ, mode="constant")
        return gaussian_filter1d(filled, seconds * GRID_HZ, mode="constant") / np.maximum(weight, 1e-9)

    return np.where(known, blurred(NOISE_SECONDS) - blurred(DRIFT_SECONDS), np.nan)


def local_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How two curves at 25 Hz agree within a second around each instant, (n,), -1 to 1, NaN where either is unknown.

    Their product over the standard deviations of the whole clip: where neither moves, it is about 0.
    """
    product = standardized(first) * standardized(second)
    known, length = np.isfinite(product), int(LOCAL_SECONDS * GRID_HZ)
    shares = uniform_filter1d(known.astype(float), length, mode="nearest")
    means = uniform_filter1d(np.where(known, product, 0.0), length, mode="nearest")  # a running sum: NaN would spread
    return np.where(known, means / np.maximum(shares, 1e-9), np.nan)


def standardized(curve: np.ndarray) -> np.ndarray:
    """A curve in its standard deviations from its mean; zeros where it is constant."""
    deviation = np.nanstd(curve) if np.isfinite(curve).any() else np.nan
    return (curve - np.nanmean(curve)) / deviation if deviation else curve * 0
