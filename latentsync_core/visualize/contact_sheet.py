"""One image to judge a run by: every processing step of a few frames, side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

from ..generators.face_crops import Composited

ROWS = 4  # frames shown
CELL = 256  # pixels
GAP = 8
HEADER = 44
LABEL_WIDTH = 64
DIFFERENCE_GAIN = 8
BACKGROUND, TEXT, MUTED = (24, 26, 30), (236, 236, 236), (150, 154, 160)
COLUMNS = ("source", "aligned crop", "mask (dark = redrawn)", "generated", "pasted", f"difference x{DIFFERENCE_GAIN}")
CONTEXT = 1.6  # side of the source and pasted cells, in widths of the pasted region


@dataclass(frozen=True)
class SheetRow:
    """The cells of one frame, each uint8 (CELL, CELL, 3)."""

    index: int
    cells: tuple[np.ndarray, ...]


class ContactSheet:
    """Collects frames while a clip is written; `observe` is the pipeline's ``on_frame`` callback.

    The number of frames is not known in advance: samples are taken at a stride that doubles whenever the sheet is
    full, so the remaining rows are spread evenly and memory stays bounded.
    """

    def __init__(self, rows: int = ROWS):
        self.capacity = 2 * rows
        self.rows = rows
        self.stride = 1
        self.seen = 0
        self.sampled: list[SheetRow] = []

    def observe(self, index: int, composited: Composited) -> None:
        """Take every `stride`-th synced frame."""
        if not composited.synced:
            return
        if self.seen % self.stride == 0:
            self.sampled.append(sheet_row(index, composited))
            if len(self.sampled) == self.capacity:
                self.sampled, self.stride = self.sampled[::2], 2 * self.stride
        self.seen += 1

    def image(self) -> Image.Image:
        """The sheet; without any synced frame it says so."""
        count = min(self.rows, len(self.sampled))
        picks = np.linspace(0, len(self.sampled) - 1, count).round().astype(int) if count else []
        rows = [self.sampled[i] for i in picks]
        width = LABEL_WIDTH + len(COLUMNS) * (CELL + GAP) + GAP
        sheet = Image.new("RGB", (width, HEADER + max(count, 1) * (CELL + GAP) + GAP), BACKGROUND)
        draw = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(18)
        for column, title in enumerate(COLUMNS):
            centre = LABEL_WIDTH + column * (CELL + GAP) + CELL // 2
            draw.text((centre, HEADER // 2), title, TEXT, font, anchor="mm")
        for line, row in enumerate(rows):
            top = HEADER + line * (CELL + GAP)
            draw.text((LABEL_WIDTH // 2, top + CELL // 2), f"frame\n{row.index}", MUTED, font, anchor="mm")
            for column, cell in enumerate(row.cells):
                sheet.paste(Image.fromarray(cell), (LABEL_WIDTH + column * (CELL + GAP), top))
        if not rows:
            draw.text((width // 2, HEADER + CELL // 2), "no frame was synced", MUTED, font, anchor="mm")
        return sheet

    def save(self, target: Path | str | BinaryIO) -> None:
        """Write the sheet as PNG to a path or an open binary file."""
        self.image().save(target, format="PNG")


def sheet_row(index: int, composited: Composited) -> SheetRow:
    """The six cells of one synced frame."""
    source = composited.frame.rgb()
    region = composited.region
    pasted = source.copy()
    height, width = region.alpha.shape
    pasted[region.slices] = region.pixels
    around = context_square(region.left, region.top, width, height, source.shape)
    difference = np.abs(pasted.astype(np.int16) - source) * DIFFERENCE_GAIN
    mask = composited.mask.numpy()[:, :, None]
    cells = (
        source[around],
        composited.crop,
        (composited.crop * (0.25 + 0.75 * mask)).astype(np.uint8),
        ((composited.generated.permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy(),
        pasted[around],
        difference.clip(0, 255).astype(np.uint8)[around],
    )
    return SheetRow(index, tuple(fit_cell(cell) for cell in cells))


def context_square(left: int, top: int, width: int, height: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a square around the pasted region, inside a frame.

    Args:
        left, top, width, height: the pasted region, pixels.
        shape: of the frame, (H, W, ...).
    """
    side = min(round(max(width, height) * CONTEXT), shape[0], shape[1])
    x = min(max(left + width // 2 - side // 2, 0), shape[1] - side)
    y = min(max(top + height // 2 - side // 2, 0), shape[0] - side)
    return slice(y, y + side), slice(x, x + side)


def fit_cell(image: np.ndarray) -> np.ndarray:
    """Resize a square uint8 picture to a cell."""
    planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()  # a copy: frames are read-only
    sized = F.interpolate(planes, size=(CELL, CELL), mode="bicubic", antialias=True, align_corners=False)
    return sized[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
