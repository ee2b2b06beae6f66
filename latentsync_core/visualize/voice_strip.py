"""A voice as the nodes are given it: its loudness, where it is taken for speech, and the opening it asks for."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (960, 200)  # pixels
LEFT, RIGHT, TOP, BOTTOM = 10, 10, 26, 22  # margins
BACKGROUND, MUTED, GRID = (24, 26, 30), (150, 154, 160), (44, 47, 54)
WAVE, SPEECH, GREEN, OPENING = (92, 98, 110), (38, 58, 50), (110, 170, 130), (90, 170, 250)
MOST_TICKS = 12


def voice_strip(waveform: np.ndarray, gate: np.ndarray, opening: np.ndarray, seconds: float) -> Image.Image:
    """Draw the first `seconds` of a voice.

    waveform: (samples,) mono. gate: (n,) in 0..1, how open the silence gate is. opening: (m,) in 0..1. The three are
    spread evenly over the same time, which the picture's width stands for.
    """
    picture = Image.new("RGB", SIZE, BACKGROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    width, bottom = SIZE[0] - LEFT - RIGHT, SIZE[1] - BOTTOM
    height = bottom - TOP
    for column in range(width):
        x, share = LEFT + column, column / width
        if gate[int(share * len(gate))] > 0.5:
            draw.line((x, TOP, x, bottom), SPEECH)
    step = max(round(seconds / MOST_TICKS), 1)
    for second in range(0, int(seconds) + 1, step):
        x = LEFT + width * second / seconds
        draw.line((x, TOP, x, bottom), GRID)
        draw.text((x, SIZE[1] - BOTTOM // 2), f"{second} s", MUTED, font, anchor="mm")
    middle = TOP + height / 2
    for column, (low, high) in enumerate(envelope(waveform, width)):
        draw.line((LEFT + column, middle - high * height / 2, LEFT + column, middle - low * height / 2), WAVE)
    places = np.linspace(LEFT, LEFT + width, len(opening))
    draw.line(
        [(x, bottom - height * value) for x, value in zip(places, opening, strict=True)], OPENING, 2, joint="curve"
    )
    draw.text((LEFT, TOP // 2), "voice", MUTED, font, anchor="lm")
    draw.text((LEFT + 50, TOP // 2), "opening it asks for", OPENING, font, anchor="lm")
    draw.text((LEFT + 190, TOP // 2), "green: speech", GREEN, font, anchor="lm")
    return picture


def envelope(waveform: np.ndarray, columns: int) -> np.ndarray:
    """The least and greatest sample of every column, (columns, 2) in -1..1, by the loudest sample."""
    parts = np.array_split(waveform, columns)
    ends = np.array([(part.min(), part.max()) if len(part) else (0.0, 0.0) for part in parts])
    return ends / max(np.abs(ends).max(), 1e-6)
