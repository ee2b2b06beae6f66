"""RGB as the formula of H.273 has it, for every matrix and range."""

import av
import numpy as np
import pytest

from latentsync_core.media import to_rgb
from latentsync_core.media.picture.color import sampled_rgb
from latentsync_core.media.picture.planes import channel_samples, native_picture

WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def chart():
    """Every combination of 18 steps of Y, U and V: three (18, 324) arrays of 8-bit samples, black to beyond white."""
    steps = np.append(np.arange(0, 255, 15), 255)
    return [channel.reshape(len(steps), -1) for channel in np.meshgrid(steps, steps, steps, indexing="ij")]


def formula(y, u, v, code, full, bits):
    """ITU-T H.273, 8.3, in float64."""
    red, blue = WEIGHTS[code]
    scale = 2 ** (bits - 8)
    if full:
        luma, cb, cr = y / (2**bits - 1), (u - 128 * scale) / (2**bits - 1), (v - 128 * scale) / (2**bits - 1)
    else:
        luma, cb, cr = (
            (y - 16 * scale) / (219 * scale),
            (u - 128 * scale) / (224 * scale),
            (v - 128 * scale) / (224 * scale),
        )
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], -1) * 255, 0, 255)


def chart_picture(pixel_format, bits, cell=(1, 1)):
    """The chart as a picture whose luma is constant over each chroma cell of (rows, columns)."""
    y, u, v = (channel * 2 ** (bits - 8) for channel in chart())
    rows, columns = cell
    picture = av.VideoFrame(y.shape[1] * columns, y.shape[0] * rows, pixel_format)
    luma, cb, cr = channel_samples(picture)
    luma[:], cb[:], cr[:] = y.repeat(rows, 0).repeat(columns, 1), u, v
    return picture, (y, u, v)


@pytest.mark.parametrize("code", [1, 5, 6, 9])
@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(
    ("pixel_format", "bits", "cell"),
    [("yuv444p", 8, (1, 1)), ("yuv420p", 8, (2, 2)), ("yuv422p10le", 10, (1, 2)), ("nv12", 8, (2, 2))],
)
def test_the_whole_chart_is_within_one_level(code, color_range, pixel_format, bits, cell):
    picture, channels = chart_picture(pixel_format, bits, cell)
    picture.colorspace, picture.color_range = code, color_range
    rgb = to_rgb(picture)[:: cell[0], :: cell[1]]
    assert np.abs(rgb - formula(*channels, code, color_range == 2, bits)).max() <= 1


@pytest.mark.parametrize(("height", "code"), [(720, 1), (1080, 1), (718, 5), (480, 5)])
def test_an_untagged_picture_is_limited_range_and_its_height_tells_the_matrix(height, code):
    picture = av.VideoFrame(8, height, "yuv420p")
    for samples, value in zip(channel_samples(picture), (120, 90, 170), strict=True):
        samples[:] = value
    expected = formula(*(np.full(1, value) for value in (120, 90, 170)), code, False, 8)
    assert np.abs(to_rgb(picture)[0, 0] - expected).max() <= 1


def test_the_yuvj_formats_are_full_range_by_name():
    picture = av.VideoFrame(8, 8, "yuvj420p")
    for samples, value in zip(channel_samples(picture), (255, 128, 128), strict=True):
        samples[:] = value
    assert (to_rgb(picture) == 255).all()


def test_rgb_and_full_range_grey_are_taken_as_they_are():
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    assert (to_rgb(av.VideoFrame.from_ndarray(values, "rgb24")) == values).all()
    gbrp = av.VideoFrame(7, 9, "gbrp")
    for index, samples in enumerate(channel_samples(gbrp)):
        samples[:] = values[:, :, index]
    assert (to_rgb(gbrp) == values).all()
    grey = av.VideoFrame.from_ndarray(values[:, :, 0], "gray")
    assert (to_rgb(grey) == values[:, :, :1]).all()


def test_odd_sizes_use_the_last_chroma_samples():
    picture = av.VideoFrame(5, 3, "yuv420p")
    luma, u, v = channel_samples(picture)
    luma[:], u[:], v[:] = 128, 128, 128
    v[1, 2] = 240  # the cell of the last row and column
    rgb = to_rgb(picture)
    assert rgb[2, 4, 0] > 200
    assert (rgb[:2] == rgb[0, 0]).all() and (rgb[2, :4] == rgb[0, 0]).all()


FORMATS = ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "nv12", "yuv420p10le", "yuva420p", "gray", "rgb24", "gbrp")


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("region", [(0, 0, 47, 31), (5, 3, 20, 18), (6, 4, 47, 31), (46, 30, 47, 31), (9, 9, 9, 9)])
def test_a_region_is_that_part_of_the_whole(pixel_format, region):
    values = np.random.default_rng(1).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    picture = native_picture(av.VideoFrame.from_ndarray(values, "rgb24").reformat(format=pixel_format))
    left, top, right, bottom = region
    assert np.array_equal(to_rgb(picture, region), to_rgb(picture)[top:bottom, left:right])


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p10le", "yuv444p", "yuv410p", "nv12", "gray", "gray10le", "rgb24", "gbrp"]
)
def test_samples_of_a_picture_are_those_of_its_rgb(pixel_format):
    picture, rng = av.VideoFrame(101, 67, pixel_format), np.random.default_rng(1)
    for channel in channel_samples(picture):
        channel[:] = rng.integers(0, 256 if channel.dtype == np.uint8 else 1024, channel.shape)
    whole = to_rgb(picture)
    for rows, columns in ((1, 1), (2, 2), (3, 5), (7, 4)):
        np.testing.assert_array_equal(sampled_rgb(picture, rows, columns), whole[::rows, ::columns])
