"""Clips beside one another in one video, each above its mouth's curve, all with one sound."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageDraw

from ..media import AudioInfo, EncodeSettings, Frame, ImageReader, VideoInfo, VideoReader, VideoWriter
from ..progress import Callbacks
from ..scoring.compare_clips import ComparedClip
from ..scoring.score_files import TIME_TOLERANCE
from .clip_cell import ClipCell, Page, font
from .score_card import ASKED, BACKGROUND, FOUND, MUTED

PER_ROW = 4  # clips
MAX_WIDTH, MAX_PICTURE, MIN_PICTURE = 1920, 720, 240  # pixels: of the result; height of the clips' pictures
MIN_CELL = 300  # pixels, so that the numbers below a narrow clip can be read
GAP, LEGEND = 16, 32  # pixels


@dataclass(frozen=True)
class Sheet:
    """The result's cells, its size in pixels, and how long it lasts."""

    cells: tuple[ClipCell, ...]
    size: tuple[int, int]
    seconds: Fraction

    @classmethod
    def of(cls, clips: Sequence[ComparedClip]) -> "Sheet":
        """Lay out rows of up to four clips, every picture of one height, as large as it is filmed where that fits."""
        per_row = -(-len(clips) // -(-len(clips) // PER_ROW))  # rows as full as one another
        rows = [clips[first : first + per_row] for first in range(0, len(clips), per_row)]
        height = picture_height(rows)
        cells, top, right = [], GAP, 0
        for row in rows:
            left = GAP
            for clip in row:
                picture = max(round(height * aspect(clip.info)), 2), height
                cells.append(ClipCell(clip, left, top, cell_width(clip.info, height), picture))
                left += cells[-1].width + GAP
            top, right = top + cells[-1].height + GAP, max(right, left)
        return cls(tuple(cells), even_size(right, top + LEGEND), max(clip.seconds for clip in clips))

    def page(self, page: Page) -> Image.Image:
        """Everything that stays while a page of the curves is shown."""
        sheet = Image.new("RGB", self.size, BACKGROUND)
        draw, middle = ImageDraw.Draw(sheet), self.size[1] - LEGEND / 2 - GAP / 2
        for cell in self.cells:
            cell.draw_page(draw, page)
        draw.text((GAP, middle), "mouth opening", FOUND, font(15), anchor="lm")
        draw.text((GAP + 120, middle), "what the voice asks for", ASKED, font(15), anchor="lm")
        draw.text((self.size[0] - GAP, middle), "green: they agree, red: they differ", MUTED, font(15), anchor="rm")
        return sheet


def picture_height(rows: Sequence[Sequence[ComparedClip]]) -> int:
    """The height of every picture: that of the highest clip within limits, less where a row would be too wide."""
    highest = max(clip.info.height for row in rows for clip in row)
    wanted = min(max(highest, MIN_PICTURE), MAX_PICTURE)
    return next((height for height in range(wanted, 2, -1) if widest(rows, height) <= MAX_WIDTH), 2)


def widest(rows: Sequence[Sequence[ComparedClip]], height: int) -> int:
    """The width of the widest row where pictures are `height` pixels high."""
    return max(GAP + sum(cell_width(clip.info, height) + GAP for clip in row) for row in rows)


def cell_width(info: VideoInfo, height: int) -> int:
    """Of a clip's cell: its picture's, or what its numbers need."""
    return max(round(height * aspect(info)), MIN_CELL)


def aspect(info: VideoInfo) -> float:
    """Width over height as a player shows it."""
    return float(info.width * (info.sample_aspect_ratio or 1) / info.height)


def even_size(width: int, height: int) -> tuple[int, int]:
    """As 4:2:0 needs it."""
    return width + width % 2, height + height % 2


def write_side_by_side(
    target: Path,
    clips: Sequence[ComparedClip],
    sound: AudioInfo,
    *,
    overwrite: bool = False,
    callbacks: Callbacks | None = None,
) -> int:
    """Write the comparison as H.264 at the highest rate among the clips; returns its number of frames.

    It lasts as long as the longest clip; a shorter one keeps its last frame, darkened. Clips of different rates are
    paired by time. Progress in the stage "write". Memory does not grow with length, but for the curves.
    Raises LatentSyncError for a target that cannot be written.
    """
    callbacks, sheet, fps = callbacks or Callbacks(), Sheet.of(clips), max(clip.info.fps for clip in clips)
    count = max(round(sheet.seconds * fps), 1)
    with ExitStack() as stack:
        readers = [stack.enter_context(VideoReader(clip.info.path)) for clip in clips]
        writer = stack.enter_context(
            VideoWriter(
                target,
                picture_info(sheet.size, fps, count),
                EncodeSettings(),
                audio=sound.blocks(),
                overwrite=overwrite,
                inputs=(sound.path, *(clip.info.path for clip in clips)),
            )
        )
        for index, picture in enumerate(pictures(sheet, readers, fps, count)):
            callbacks.check_cancelled()
            writer.write(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24"))
            callbacks.on_progress("write", index + 1, count)
    return count


def picture_info(size: tuple[int, int], fps: Fraction, count: int) -> VideoInfo:
    """What the writer is to know of RGB pictures made here."""
    nothing = torch.zeros(1).expand(count, size[1], size[0], 3)  # takes no memory
    return ImageReader(nothing, fps).info


def pictures(sheet: Sheet, readers: Sequence[VideoReader], fps: Fraction, count: int) -> Iterator[Image.Image]:
    """Every picture of the result, in order."""
    times = [index / fps for index in range(count)]
    page = ground = None
    for time, *frames in zip(times, *(frames_on_screen(reader.frames(), times) for reader in readers), strict=True):
        if page != (page := Page.at(float(time), float(sheet.seconds))):
            ground = sheet.page(page)
        picture = ground.copy()
        for cell, frame in zip(sheet.cells, frames, strict=True):
            cell.draw_frame(picture, frame, time, page)
        yield picture


def frames_on_screen(frames: Iterator[Frame], times: Iterable[Fraction]) -> Iterator[Frame]:
    """The frame on screen at each of the rising `times` (seconds); the last one stays."""
    shown, coming = next(frames), next(frames, None)
    for time in times:
        while coming is not None and coming.time <= time + TIME_TOLERANCE:
            shown, coming = coming, next(frames, None)
        yield shown
