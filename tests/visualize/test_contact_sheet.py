"""The contact sheet shows each step of frames spread over the clip, and says so when no frame was synced."""

from types import SimpleNamespace

import numpy as np
import torch

from latentsync_core.faces import PastedRegion, fixed_mask
from latentsync_core.generators.face_crops import Composited
from latentsync_core.visualize.contact_sheet import (
    CELL,
    COLUMNS,
    GAP,
    HEADER,
    LABEL_WIDTH,
    ContactSheet,
)


def frame_of(index: int) -> Composited:
    image = np.full((120, 160, 3), index, np.uint8)
    image.flags.writeable = False
    region = PastedRegion(40, 30, np.full((40, 40, 3), index + 10, np.uint8), np.ones((40, 40), np.float32))
    crop = np.full((64, 64, 3), 200, np.uint8)
    return Composited(SimpleNamespace(rgb=lambda: image), None, crop, torch.zeros(3, 64, 64), fixed_mask(64), region)


def cell(sheet, row: int, column: int) -> np.ndarray:
    left, top = LABEL_WIDTH + column * (CELL + GAP), HEADER + row * (CELL + GAP)
    return np.asarray(sheet)[top : top + CELL, left : left + CELL]


def test_rows_are_spread_over_the_whole_clip():
    sheet = ContactSheet()
    for index in range(100):
        sheet.observe(index, frame_of(index))
    assert len(sheet.sampled) <= 8
    image = sheet.image()
    shown = [int(cell(image, row, 0)[0, 0, 0]) for row in range(4)]
    assert shown[0] == 0 and shown[-1] > 70 and shown == sorted(set(shown))


def test_cells_show_source_mask_result_and_amplified_difference(tmp_path):
    sheet = ContactSheet()
    sheet.observe(5, frame_of(5))
    sheet.save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    image = sheet.image()
    assert image.width == LABEL_WIDTH + len(COLUMNS) * (CELL + GAP) + GAP
    assert cell(image, 0, 0).max() == 5
    masked = cell(image, 0, 2)
    assert masked[5, CELL // 2, 0] == 200 and masked[200, CELL // 2, 0] == 50
    assert (cell(image, 0, 3) == 128).all()
    assert cell(image, 0, 4)[CELL // 2, CELL // 2, 0] == 15
    difference = cell(image, 0, 5)
    assert difference[CELL // 2, CELL // 2, 0] == 80 and difference[0, 0, 0] == 0


def test_a_clip_without_synced_frames_says_so():
    sheet = ContactSheet()
    sheet.observe(0, Composited(None, None))
    assert sheet.sampled == [] and np.asarray(sheet.image()).max() > 100
