"""One clip of a comparison: its name, its picture, its numbers, and below them its mouth beside what the voice asks."""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..media import Frame
from ..scoring.compare_clips import ComparedClip
from ..scoring.lip_sync import LipSync, LipSyncCurves
from ..scoring.words import CLEAR, SOME, SURE
from .score_card import ASKED, BAD, FOUND, GOOD, GRID, MUTED, SPAN, TEXT, draw_agreement, draw_line

NAME, NUMBERS, CURVE, AXIS = 36, 32, 96, 24  # pixels above the picture, and below it
PAGE_SECONDS = 10  # of the curves seen at a time; then the page is turned
PANEL = (32, 35, 40)
ENDED = 0.35  # brightness of a clip that is over
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Page:
    """What the curves show: `seconds` from `start` on."""

    start: float
    seconds: float

    @classmethod
    def at(cls, time: float, whole: float) -> "Page":
        """The page on which an instant of `whole` seconds lies."""
        if whole <= PAGE_SECONDS:
            return cls(0.0, whole)
        return cls(time // PAGE_SECONDS * PAGE_SECONDS, PAGE_SECONDS)


@dataclass(frozen=True)
class ClipCell:
    """A clip and where it is shown: left and top of its cell, width of the cell, size of its picture; pixels."""

    clip: ComparedClip
    left: int
    top: int
    width: int
    picture: tuple[int, int]

    @property
    def height(self) -> int:
        """Of the whole cell."""
        return NAME + self.picture[1] + NUMBERS + CURVE + AXIS

    @property
    def panel(self) -> tuple[int, int, int, int]:
        """Where the curves are: left, top, right, bottom."""
        top = self.top + NAME + self.picture[1] + NUMBERS
        return self.left, top, self.left + self.width, top + CURVE

    def draw_page(self, draw: ImageDraw.ImageDraw, page: Page) -> None:
        """Everything that stays while a page is shown."""
        name = shortened(self.clip.label, self.width, font(18))
        draw.text((self.left + self.width / 2, self.top + NAME / 2), name, TEXT, font(18), anchor="mm")
        left, top, right, bottom = self.panel
        draw.rectangle((left, top, right - 1, bottom - 1), PANEL)
        if self.clip.score is None:
            draw.text((left, top - NUMBERS / 2), "no face", BAD, font(16), anchor="lm")
            return
        draw_numbers(draw, self.clip.score.sync, (left, right), top - NUMBERS / 2)
        self._draw_curves(draw, self.clip.score.curves, page)

    def _draw_curves(self, draw: ImageDraw.ImageDraw, curves: LipSyncCurves, page: Page) -> None:
        left, top, right, bottom = self.panel
        shown = (curves.times >= page.start) & (curves.times <= page.start + page.seconds)
        x = self.x_of(curves.times[shown], page)
        draw_agreement(draw, x, curves.agreement[shown], (top, bottom - 1))
        step = next(step for step in (1, 2, 5) if step * self.width / page.seconds >= 30 or step == 5)
        for second in np.arange(math.ceil(page.start / step) * step, page.start + page.seconds, step):
            at = float(self.x_of(second, page))
            draw.line((at, top, at, bottom - 1), GRID)
            anchor = "lm" if at - left < 8 else "rm" if right - at < 14 else "mm"
            draw.text((at, bottom + AXIS / 2), f"{second:g} s", MUTED, font(13), anchor=anchor)
        for curve, colour in ((curves.asked, ASKED), (curves.opening, FOUND)):
            heights = (top + bottom) / 2 - np.clip(curve[shown], -SPAN, SPAN) * (bottom - top) / (2 * SPAN)
            draw_line(draw, x, heights, colour)

    def x_of(self, time, page: Page):
        """Where an instant lies on the time axis: seconds -> pixels."""
        return self.left + (time - page.start) / page.seconds * (self.width - 1)

    def draw_frame(self, sheet: Image.Image, frame: Frame, time: Fraction, page: Page) -> None:
        """The frame on screen at `time`, and the playhead; a clip that is over stays, darkened."""
        picture = Image.fromarray(frame.rgb()).resize(self.picture, Image.Resampling.BICUBIC)
        if time >= self.clip.seconds:
            picture = Image.blend(Image.new("RGB", picture.size), picture, ENDED)
        sheet.paste(picture, (self.left + (self.width - self.picture[0]) // 2, self.top + NAME))
        left, top, _, bottom = self.panel
        x = round(self.x_of(float(time), page))
        ImageDraw.Draw(sheet).line((x, top, x, bottom - 1), WHITE, 2)


def draw_numbers(draw: ImageDraw.ImageDraw, sync: LipSync, span: tuple[int, int], middle: float) -> None:
    """Agreement on the left, in green, white or red; the offset on the right, where it can be believed."""
    unknown = math.isnan(sync.agreement)
    colour = BAD if unknown or sync.agreement < SOME else GOOD if sync.agreement >= CLEAR else TEXT
    agreement = "agreement unknown" if unknown else f"agreement {sync.agreement:.2f}"
    draw.text((span[0], middle), agreement, colour, font(16), anchor="lm")
    sure = sync.confidence >= SURE  # false for NaN
    moved = f"{sync.offset_ms:+.0f}" if sync.offset_frames else "0"
    offset = f"offset {moved} ms" if sure else "offset unclear"
    draw.text((span[1], middle), offset, TEXT if sure else MUTED, font(16), anchor="rm")


def shortened(text: str, width: float, face: ImageFont.FreeTypeFont) -> str:
    """A text of one line that fits a width in pixels, the middle left out where it is longer."""
    text = " ".join(text.split())
    if face.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        cut = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        if face.getlength(cut) <= width:
            return cut
    return text[:1]


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, in pixels."""
    return ImageFont.load_default(size)
