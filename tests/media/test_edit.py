"""Edits change what they should, and not one bit more."""

import av
import numpy as np
import pytest

from latentsync_core.media import apply_edit, to_rgb
from latentsync_core.media.picture.planes import channel_samples

FORMATS = [
    "yuv420p", "yuvj420p", "yuv422p", "yuv440p", "yuv444p", "yuvj444p", "nv12", "nv21",
    "yuv420p10le", "yuv422p10le", "yuv444p12le", "gray", "gray10le", "rgb24", "bgr24", "gbrp", "gbrp10le", "bgra",
]  # fmt: skip


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("color_range", [1, 2])
def test_a_flat_region_takes_the_new_colour(pixel_format, color_range):
    picture = av.VideoFrame(64, 48, pixel_format)
    picture.color_range = color_range if pixel_format.startswith("yuv4") else 2
    for samples in channel_samples(picture):
        samples[:] = 130 << (picture.format.components[0].bits - 8)
    before = to_rgb(picture)[16:32, 16:40]
    after = np.full_like(before, 0)
    after[:] = (150, 150, 150) if "gray" in pixel_format else (170, 120, 110)
    result = to_rgb(apply_edit(picture, before, after, left=16, top=16))
    assert np.abs(result[16:32, 16:40].astype(int) - after).max() <= 2
    outside = np.ones((48, 64), bool)
    outside[16:32, 16:40] = False
    assert (result[outside] == to_rgb(picture)[outside]).all()


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize(("left", "top", "size"), [(7, 5, (20, 13)), (0, 0, (64, 48)), (43, 31, (21, 17))])
def test_unchanged_pixels_keep_every_bit(pixel_format, left, top, size, make_picture, planes_of):
    picture = make_picture(3, 64, 48, pixel_format)
    original = planes_of(picture)
    width, height = size
    before = to_rgb(picture)[top : top + height, left : left + width]
    after = before.copy()
    after[4:9, 3:10] = 255 - after[4:9, 3:10]
    edited = apply_edit(picture, before, after, left, top)
    changed = np.zeros((48, 64), bool)
    changed[top + 4 : top + 9, left + 3 : left + 10] = True
    for was, now, channel in zip(channel_samples(picture), channel_samples(edited), "YUV", strict=False):
        rows, columns = was.shape
        cells = changed.reshape(rows, 48 // rows, columns, 64 // columns).any(axis=(1, 3))
        assert (was[~cells] == now[~cells]).all(), channel
    assert (channel_samples(picture)[0] != channel_samples(edited)[0]).any()
    assert all((a == b).all() for a, b in zip(original, planes_of(picture), strict=True))  # the input is left alone


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv420p10le"])
def test_odd_sizes_can_be_edited_to_their_last_pixel(pixel_format):
    picture = av.VideoFrame(33, 17, pixel_format)
    for samples in channel_samples(picture):
        samples[:] = 128 << (picture.format.components[0].bits - 8)
    before = to_rgb(picture)[10:, 20:]
    after = np.full_like(before, 0)
    after[:] = (160, 100, 90)
    assert np.abs(to_rgb(apply_edit(picture, before, after, 20, 10))[10:, 20:].astype(int) - after).max() <= 2


def test_the_edit_keeps_colour_tags_and_time():
    picture = av.VideoFrame(16, 16, "yuv420p")
    picture.colorspace, picture.color_range, picture.pts = 1, 2, 77
    region = np.zeros((2, 2, 3), np.uint8)
    edited = apply_edit(picture, region, region, 0, 0)
    assert (int(edited.colorspace), int(edited.color_range), edited.pts) == (1, 2, 77)


def test_the_result_stays_within_what_samples_can_hold():
    picture = av.VideoFrame(8, 8, "yuv444p")
    for samples in channel_samples(picture):
        samples[:] = 250
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    assert (channel_samples(apply_edit(picture, black, white, 0, 0))[0] == 255).all()


@pytest.mark.parametrize(("left", "top", "shape"), [(-1, 0, (4, 4, 3)), (13, 0, (4, 4, 3)), (0, 13, (4, 4, 3))])
def test_a_region_outside_the_picture_is_refused(left, top, shape):
    region = np.zeros(shape, np.uint8)
    with pytest.raises(ValueError, match="leaves the picture"):
        apply_edit(av.VideoFrame(16, 16, "yuv420p"), region, region, left, top)
