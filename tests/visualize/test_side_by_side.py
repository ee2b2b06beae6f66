"""Clips beside one another: rows that fit, frames paired by time, curves that turn their pages, labels that fit."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from latentsync_core.demo import VOICE
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import (
    EncodeSettings,
    Frame,
    ImageReader,
    VideoReader,
    VideoWriter,
    probe_audio,
    probe_video,
)
from latentsync_core.progress import Callbacks
from latentsync_core.scoring.compare_clips import ComparedClip
from latentsync_core.scoring.lip_sync import LipSync, LipSyncCurves
from latentsync_core.visualize.clip_cell import ClipCell, Page, font, shortened
from latentsync_core.visualize.score_card import BAD, GOOD
from latentsync_core.visualize.side_by_side import GAP, MAX_WIDTH, Sheet, frames_on_screen, write_side_by_side

SYNC = LipSync(correlation=0.8, width=0.5, loudness=0.5, offset_frames=2, offset_ms=80.0, agreement=0.7, confidence=0.5)


def clip(width=512, height=512, seconds=6, label="a clip", score=None) -> ComparedClip:
    info = ImageReader(torch.zeros(1).expand(1, height, width, 3), Fraction(25)).info
    return ComparedClip(label, info, Fraction(seconds), score)


def score(seconds: float, agreement: float = 0.7):
    times = np.arange(0, seconds, 0.04)
    curve = np.sin(6 * times)
    curves = LipSyncCurves(times, curve, curve, np.full(len(times), agreement), np.zeros(31))
    return SimpleNamespace(sync=replace(SYNC, agreement=agreement), curves=curves)


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ([(512, 512)] * 2, [2]),
        ([(1920, 1080)] * 4, [4]),
        ([(1080, 1920), (641, 361), (64, 48)], [3]),
        ([(720, 576)] * 5, [3, 2]),
        ([(4000, 200)] * 2, [2]),
    ],
    ids=["two", "four wide ones", "odd sizes", "two rows", "strips"],
)
def test_pictures_of_one_height_stand_in_rows_that_fit(sizes, rows):
    sheet = Sheet.of([clip(*size) for size in sizes])
    assert {cell.picture[1] for cell in sheet.cells} == {sheet.cells[0].picture[1]}
    for cell, (width, height) in zip(sheet.cells, sizes, strict=True):
        assert cell.picture[0] == pytest.approx(cell.picture[1] * width / height, abs=0.5)
        assert cell.left >= GAP and cell.left + cell.width + GAP <= sheet.size[0] <= MAX_WIDTH + 2
    tops = [cell.top for cell in sheet.cells]
    assert [tops.count(top) for top in sorted(set(tops))] == rows
    assert all(a.left + a.width < b.left for a, b in zip(sheet.cells, sheet.cells[1:], strict=False) if a.top == b.top)
    assert sheet.size[0] % 2 == sheet.size[1] % 2 == 0


def test_pixels_that_are_not_square_are_shown_as_a_player_does():
    narrow = clip(720, 576)
    wide = replace(narrow, info=replace(narrow.info, sample_aspect_ratio=Fraction(64, 45)))
    (cell,) = Sheet.of([wide]).cells
    assert cell.picture[0] / cell.picture[1] == pytest.approx(16 / 9, abs=0.01)


def test_frames_are_paired_by_time_and_the_last_one_stays():
    frames = (Frame(index, Fraction(index, 10), None) for index in range(4))
    shown = [frame.index for frame in frames_on_screen(frames, [Fraction(index, 25) for index in range(15)])]
    assert shown == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]


def grey_clip(path: Path, fps: int, frames: int) -> ComparedClip:
    """A clip that grows brighter by 20 levels a frame."""
    like = ImageReader(torch.zeros(1).expand(frames, 48, 64, 3), Fraction(fps)).info
    with VideoWriter(path, like, EncodeSettings("ffv1")) as writer:
        for index in range(frames):
            picture = np.full((48, 64, 3), 20 * index, np.uint8)
            writer.write(av.VideoFrame.from_ndarray(picture, format="rgb24"))
    return ComparedClip(path.stem, probe_video(path), Fraction(frames, fps), None)


@pytest.mark.long
def test_clips_of_different_rates_are_written_at_the_highest_with_the_sound(tmp_path):
    clips = [grey_clip(tmp_path / "slow.mkv", 10, 10), grey_clip(tmp_path / "fast.mkv", 25, 12)]
    target = tmp_path / "beside.mp4"
    assert write_side_by_side(target, clips, probe_audio(VOICE)) == 25
    with VideoReader(target) as reader:
        frames = [frame.rgb().astype(int)[60:200] for frame in reader.frames()]
        assert reader.info.fps == 25 and reader.info.has_audio
    slow, fast = (np.array([frame[:, x : x + 100].mean() for frame in frames]) for x in (100, 450))
    for index in range(25):
        assert slow[index] == pytest.approx(20 * (index * 10 // 25), abs=3)
        assert fast[index] == pytest.approx(20 * index if index < 12 else 220 * 0.35, abs=3)
    with pytest.raises(LatentSyncError, match="exists already"):
        write_side_by_side(target, clips, probe_audio(VOICE))


def test_a_comparison_that_is_stopped_leaves_no_file(tmp_path):
    clips = [grey_clip(tmp_path / f"{name}.mkv", 25, 3) for name in ("one", "other")]
    before = set(tmp_path.iterdir())

    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_side_by_side(tmp_path / "beside.mp4", clips, probe_audio(VOICE), callbacks=Callbacks(on_progress=stop))
    assert set(tmp_path.iterdir()) == before


def test_pages_turn_where_the_clip_is_longer_than_one():
    assert Page.at(5.9, 6.0) == Page(0.0, 6.0)
    assert Page.at(9.9, 25.0) == Page(0.0, 10) and Page.at(20.0, 25.0) == Page(20.0, 10)


def page_of(cell: ClipCell, page: Page) -> np.ndarray:
    sheet = Image.new("RGB", (cell.width, cell.height))
    cell.draw_page(ImageDraw.Draw(sheet), page)
    return np.asarray(sheet).astype(int)


def test_the_curves_of_a_page_are_the_clips_own():
    cell = ClipCell(clip(seconds=14, score=score(14)), 0, 0, 300, (300, 200))
    _, top, _, bottom = cell.panel
    first, second = (page_of(cell, Page(start, 10))[top:bottom] for start in (0.0, 10.0))
    green = [(panel[..., 1] > panel[..., 0] + 20).any(axis=0) for panel in (first, second)]
    assert green[0].mean() > 0.95 and green[1][:115].all() and not green[1][125:].any()  # 4 of 10 seconds


def test_the_playhead_moves_and_a_clip_that_is_over_darkens():
    cell = ClipCell(clip(seconds=2), 0, 0, 300, (300, 200))
    _, top, _, _ = cell.panel
    frame = SimpleNamespace(rgb=lambda: np.full((20, 30, 3), 200, np.uint8))
    places = []
    for time in (Fraction(0), Fraction(2), Fraction(4)):
        sheet = Image.new("RGB", (300, cell.height))
        cell.draw_frame(sheet, frame, time, Page(0.0, 4.0))
        drawn = np.asarray(sheet)
        places.append((int(np.argmax(drawn[top + 5, :, 0])), int(drawn[100, 150, 0])))
    (start, bright), (middle, over), (end, _) = places
    assert start <= 1 and abs(middle - 150) <= 2 and end >= 297
    assert bright == 200 and over == 70


def test_numbers_are_coloured_by_what_they_say_and_a_missing_face_is_told():
    for judged, colour in ((score(4, 0.7), GOOD), (score(4, 0.1), BAD), (None, BAD)):
        cell = ClipCell(clip(score=judged), 0, 0, 300, (300, 200))
        band = page_of(cell, Page(0.0, 4.0))[cell.panel[1] - 30 : cell.panel[1], :150]
        assert (np.abs(band - colour).sum(-1) < 10).any()


def test_a_long_name_loses_its_middle():
    name = "a_very_long_name_of_a_file_with_a_number_at_its_end_0042"
    short = shortened(name, 200, font(18))
    assert font(18).getlength(short) <= 200 and short.startswith("a_very") and short.endswith("0042") and "..." in short
    assert shortened("two\nlines", 200, font(18)) == "two lines"


def test_a_sheet_lasts_as_long_as_its_longest_clip():
    assert Sheet.of([clip(seconds=2), clip(seconds=5)]).seconds == 5
