"""One picture that says in ten seconds whether lips and voice agree: both curves, the lag, best and worst second."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..intervals import clock
from ..media import VideoReader
from ..scoring.lip_sync import LipSyncCurves
from ..scoring.score_files import ScoredClip
from ..scoring.words import sync_sentence

WIDTH = 1200  # pixels
MARGIN, TITLE, LEGEND, STRIP_TITLE, AXIS = 24, 52, 24, 30, 30
CURVES_HEIGHT, LAG_WIDTH = 240, 260
FACE, FACES = (117, 156), 4  # width and height in pixels; faces of each of the two seconds shown
BACKGROUND, TEXT, MUTED, GRID = (24, 26, 30), (236, 236, 236), (150, 154, 160), (44, 47, 54)
FOUND, ASKED, GOOD, BAD = (90, 170, 250), (210, 212, 216), (80, 200, 120), (240, 110, 90)
SPAN = 3.0  # standard deviations from the middle to the edge of a panel


def score_card(scored: ScoredClip) -> Image.Image:
    """The picture of a scored clip; reads the frames of its best and its worst second once more."""
    top = TITLE + LEGEND
    height = top + CURVES_HEIGHT + AXIS + STRIP_TITLE + FACE[1] + 2 * MARGIN
    card = Image.new("RGB", (WIDTH, height), BACKGROUND)
    draw = ImageDraw.Draw(card)
    draw.text((MARGIN, TITLE // 2), sync_sentence(scored.score), TEXT, ImageFont.load_default(20), anchor="lm")
    curves = scored.score.curves
    right = WIDTH - 2 * MARGIN - LAG_WIDTH
    draw_curves(draw, curves, (MARGIN, top, right, top + CURVES_HEIGHT))
    draw_lags(draw, curves.lags, (right + MARGIN, top, WIDTH - MARGIN, top + CURVES_HEIGHT))
    top += CURVES_HEIGHT + AXIS + MARGIN // 2
    seconds = {"best": extreme(curves, np.nanargmax), "worst": extreme(curves, np.nanargmin)}
    for column, (name, at) in enumerate(seconds.items()):
        left = MARGIN + column * (WIDTH // 2)
        colour = GOOD if name == "best" else BAD
        draw.text((left, top + STRIP_TITLE // 2), f"{name} second, around {clock(at)}", colour, _font(), anchor="lm")
        for place, face in enumerate(faces_around(scored, at)):
            card.paste(face, (left + place * (FACE[0] + 4), top + STRIP_TITLE))
    return card


def draw_curves(draw: ImageDraw.ImageDraw, curves: LipSyncCurves, box: tuple[int, int, int, int]) -> None:
    """Opening of the mouth over what the voice asks; the ground is green where they agree, red where they differ."""
    left, top, right, bottom = box
    times, middle = curves.times, (top + bottom) / 2
    scale_x, scale_y = (right - left) / max(times[-1] - times[0], 1e-6), (bottom - top) / (2 * SPAN)
    x = left + (times - times[0]) * scale_x
    draw_agreement(draw, x, curves.agreement, (top, bottom))
    for second in np.arange(np.ceil(times[0]), times[-1] + 0.01, tick_seconds(times[-1] - times[0])):
        at = left + (second - times[0]) * scale_x
        draw.line((at, top, at, bottom), GRID)
        draw.text((at, bottom + AXIS // 2), f"{second:g} s", MUTED, _font(), anchor="mm")
    for curve, colour in ((curves.asked, ASKED), (curves.opening, FOUND)):
        heights = middle - np.clip(curve, -SPAN, SPAN) * scale_y
        draw_line(draw, x, heights, colour)
    draw.text((left, top - LEGEND // 2), "mouth opening", FOUND, _font(), anchor="lm")
    draw.text((left + 130, top - LEGEND // 2), "what the voice asks for", ASKED, _font(), anchor="lm")
    draw.text((right, top - LEGEND // 2), "green: they agree, red: they differ", MUTED, _font(), anchor="rm")


def draw_agreement(draw: ImageDraw.ImageDraw, x: np.ndarray, agreement: np.ndarray, rows: tuple[float, float]) -> None:
    """The ground of a panel, from row to row: green where lips and voice agree, red where they differ.

    x, agreement: (n,).
    """
    for left, right, value in zip(x[:-1], x[1:], agreement[:-1], strict=True):
        if np.isfinite(value):
            share = min(abs(value), 1) * 0.45
            colour = np.array(BACKGROUND) * (1 - share) + np.array(GOOD if value > 0 else BAD) * share
            draw.rectangle((left, rows[0], right, rows[1]), tuple(colour.astype(int).tolist()))


def tick_seconds(seconds: float) -> float:
    """Between two marks of a time axis, so that there are about ten."""
    return next((step for step in (1, 2, 5, 10, 30, 60, 120, 300) if seconds / step <= 12), 600)


def draw_line(draw: ImageDraw.ImageDraw, x: np.ndarray, y: np.ndarray, colour: tuple[int, int, int]) -> None:
    """A curve, interrupted where it is unknown."""
    known = np.isfinite(y)
    edges = np.flatnonzero(np.diff(known, prepend=False, append=False)).reshape(-1, 2)
    for start, stop in edges:
        draw.line(list(zip(x[start:stop].tolist(), y[start:stop].tolist(), strict=True)), colour, 2, joint="curve")


def draw_lags(draw: ImageDraw.ImageDraw, lags: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """A bar per lag: a single tall one in the middle is what one wants to see."""
    left, top, right, bottom = box
    draw.text(((left + right) / 2, top - LEGEND // 2), "agreement, by the sound's delay", MUTED, _font(), anchor="mm")
    reach = len(lags) // 2
    ground, width = top + (bottom - top) * 0.75, (right - left) / len(lags)
    scale = (ground - top) / max(np.nanmax(lags, initial=0.5), 0.5)
    highest = np.nanmax(lags) if np.isfinite(lags).any() else np.nan
    for index, value in enumerate(lags):
        if np.isfinite(value):
            colour = FOUND if value == highest else MUTED
            end = min(ground - value * scale, bottom)
            draw.rectangle(
                (left + index * width + 1, min(ground, end), left + (index + 1) * width - 1, max(ground, end)), colour
            )
    for lag in (-reach, 0, reach):
        at = left + (lag + reach + 0.5) * width
        label = f"{lag:+d} frames" if lag else "0"
        draw.text(
            (at, bottom + AXIS // 2), label, MUTED, _font(), anchor="rm" if lag > 0 else "lm" if lag < 0 else "mm"
        )


def extreme(curves: LipSyncCurves, which) -> float:
    """The time around which the agreement of a second is greatest (numpy.nanargmax) or least (nanargmin)."""
    inner = curves.agreement.copy()
    if not np.isfinite(inner).any():
        return float(curves.times[0])
    edge = min(12, len(inner) // 4)  # half a second, which lies within the clip whole
    if np.isfinite(inner[edge : len(inner) - edge]).any():
        inner[:edge] = inner[len(inner) - edge :] = np.nan
    return float(curves.times[which(inner)])


def faces_around(scored: ScoredClip, seconds: float) -> list[Image.Image]:
    """Some faces of the second around a time, in order."""
    clip = scored.clip
    times = np.array([float(time) for time in clip.times])
    wanted = np.linspace(seconds - 0.4, seconds + 0.4, FACES)
    indices = np.unique(np.abs(times[:, None] - wanted).argmin(axis=0))
    shown = [int(index) for index in indices if clip.track.present[index]]
    with VideoReader(Path(clip.path)) as reader:
        crops = [clip.alignment.crop(frame) for frame in reader.frames_at(shown)]
    return [Image.fromarray(crop).resize(FACE, Image.Resampling.BICUBIC) for crop in crops]


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(15)
