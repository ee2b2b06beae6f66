"""The colour coding of a picture's samples: matrix and range, and from them 8-bit RGB.

The conversion is done here and not by swscale, whose result depends on its version, is off by up to 3 for 4:2:0 and
wraps round for colours outside RGB; this one is within one level of the formula of ITU-T H.273 on every build.
"""

from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np

from .planes import PixelLayout, channel_samples, layout_of

LUMA_WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}
LUMA_WEIGHTS |= {"fcc": (0.30, 0.11), "smpte240m": (0.212, 0.087)}
"""Weights of red and blue in luma, K_R and K_B (ITU-T H.273, table 4)."""

MATRIX_NAMES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
HD_HEIGHT = 720  # pixels: untagged pictures this tall are BT.709, smaller ones BT.601
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
FRACTION_BITS = 5  # of the fixed-point sums; they stay within int16
BAND_PIXELS = 1 << 17  # converted at a time, so that the intermediate sums stay in the processor's cache


@dataclass(frozen=True)
class ColorCoding:
    """How a picture's samples code colour: the matrix by name ("rgb" for none), full or limited range, bits."""

    matrix: str
    full_range: bool
    bits: int

    @property
    def luma_scale(self) -> float:
        """Sample steps between black and white."""
        return 2.0**self.bits - 1 if self.full_range else 219.0 * 2 ** (self.bits - 8)

    @property
    def chroma_scale(self) -> float:
        """Sample steps between the two ends of a chroma channel."""
        return 2.0**self.bits - 1 if self.full_range else 224.0 * 2 ** (self.bits - 8)

    @property
    def black(self) -> int:
        """The luma sample of black."""
        return 0 if self.full_range else 16 << (self.bits - 8)

    def matrix_from_rgb(self) -> np.ndarray:
        """(3, 3) float64: RGB in [0, 1] to Y in [0, 1] and U, V in [-0.5, 0.5]."""
        red, blue = LUMA_WEIGHTS[self.matrix]
        luma = np.array([red, 1 - red - blue, blue])
        u = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
        v = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
        return np.stack([luma, u, v])


def color_coding(layout: PixelLayout, height: int, colorspace: int, color_range: int) -> ColorCoding:
    """The coding of pictures so tagged (H.273 matrix code, AVColorRange).

    Untagged: BT.709 from a height of 720 on, else BT.601; limited range, but full for grey and the yuvj formats.
    """
    if layout.family == "rgb":
        return ColorCoding("rgb", True, layout.bits)
    matrix = MATRIX_NAMES.get(int(colorspace)) or ("bt709" if height >= HD_HEIGHT else "bt601")
    untagged_is_full = layout.family == "gray"
    full = color_range == FULL_RANGE or (untagged_is_full and color_range != LIMITED_RANGE) or "j" in layout.name
    return ColorCoding(matrix, full, layout.bits)


def coding_of(picture: av.VideoFrame) -> ColorCoding:
    """The coding of `picture` by its own tags, format and height."""
    return color_coding(layout_of(picture), picture.height, picture.colorspace, picture.color_range)


Region = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, the last two exclusive."""


def to_rgb(picture: av.VideoFrame, region: Region | None = None) -> np.ndarray:
    """`picture`, or a `region` of it, as RGB: uint8 (H, W, 3), full range, with the picture's own transfer curve.

    Within one level of the formula of H.273; each chroma sample counts for its whole cell.
    """
    layout, coding = layout_of(picture), coding_of(picture)
    left, top, right, bottom = region or (0, 0, picture.width, picture.height)
    # Extended up and left to whole chroma cells, and cropped again at the end.
    spare_x = left % max(plane.sub_x for plane in layout.planes)
    spare_y = top % max(plane.sub_y for plane in layout.planes)
    covered = (left - spare_x, top - spare_y, right, bottom)
    channels = cut_channels(channel_samples(picture), layout, covered)
    cell = layout.planes[layout.channels[1][0]] if layout.family == "yuv" else layout.planes[0]
    return rgb_of_channels(channels, layout.family, coding, (cell.sub_x, cell.sub_y))[spare_y:, spare_x:]


def sampled_rgb(picture: av.VideoFrame, rows: int, columns: int) -> np.ndarray:
    """Every `rows`-th row and `columns`-th column of `to_rgb(picture)`, without converting the others."""
    layout, coding = layout_of(picture), coding_of(picture)
    ys, xs = np.arange(0, picture.height, rows), np.arange(0, picture.width, columns)
    channels = []
    for index, samples in enumerate(channel_samples(picture)):
        plane = layout.planes[layout.channels[index][0]]
        channels.append(samples[np.ix_(ys // plane.sub_y, xs // plane.sub_x)])
    return rgb_of_channels(channels, layout.family, coding, (1, 1))


def rgb_of_channels(channels: list[np.ndarray], family: str, coding: ColorCoding, cell: tuple[int, int]) -> np.ndarray:
    """RGB, uint8 (h, w, 3), of samples as `channel_samples` gives them; cell: pixels (x, y) of a chroma sample."""
    rgb = np.empty((*channels[0].shape, 3), np.uint8)
    if family == "yuv":
        yuv_to_rgb(channels, cell, coding, rgb)
        return rgb
    levels = luma_levels(coding)
    for index in range(3):
        samples = channels[index % len(channels)]
        is_level = coding.bits == 8 and coding.full_range
        rgb[:, :, index] = samples if is_level else round_levels(levels.take(samples, mode="clip"))
    return rgb


def cut_channels(channels: list[np.ndarray], layout: PixelLayout, region: Region) -> list[np.ndarray]:
    """The part of every channel that covers a region whose left and top lie on whole chroma cells."""
    left, top, right, bottom = region
    cut = []
    for index, samples in enumerate(channels):
        plane = layout.planes[layout.channels[index][0]]
        rows = slice(top // plane.sub_y, -(-bottom // plane.sub_y))
        cut.append(samples[rows, left // plane.sub_x : -(-right // plane.sub_x)])
    return cut


def yuv_to_rgb(channels: list[np.ndarray], cell: tuple[int, int], coding: ColorCoding, rgb: np.ndarray) -> None:
    """Fill `rgb` (H, W, 3) from Y, U, V, a band of rows at a time; cell: pixels (x, y) of a chroma sample."""
    luma, u, v = channels
    height, width = luma.shape
    sub_x, sub_y = cell
    to_luma, (v_red, u_green, v_green, u_blue) = luma_levels(coding), chroma_levels(coding)
    rows = max(1, BAND_PIXELS // max(1, width * sub_y)) * sub_y
    for top in range(0, height, rows):
        band, cells = slice(top, top + rows), slice(top // sub_y, (top + rows) // sub_y)
        band_u, band_v = u[cells], v[cells]
        base = to_luma.take(luma[band], mode="clip")
        green = u_green.take(band_u, mode="clip") + v_green.take(band_v, mode="clip")
        shifts = (v_red.take(band_v, mode="clip"), green, u_blue.take(band_u, mode="clip"))
        for index, shift in enumerate(shifts):
            level = add_to_rows(base, widen(shift, sub_x, width), sub_y)
            rgb[band, :, index] = round_levels(level)


def widen(samples: np.ndarray, times: int, width: int) -> np.ndarray:
    """(rows, cells) -> (rows, width): every sample `times` in a row; three times as fast as numpy's repeat."""
    if times == 1:
        return samples
    wide = np.empty((*samples.shape, times), samples.dtype)
    for place in range(times):
        wide[:, :, place] = samples
    return wide.reshape(len(samples), -1)[:, :width]


def add_to_rows(base: np.ndarray, shift: np.ndarray, times: int) -> np.ndarray:
    """`base` (h, w) plus `shift` (cells, w), of which each row belongs to `times` rows of `base`."""
    whole = len(base) // times * times
    added = np.empty_like(base)
    np.add(cells_of(base, whole, times), shift[: whole // times, None], out=cells_of(added, whole, times))
    np.add(base[whole:], shift[-1], out=added[whole:])  # a cell cut by the lower edge
    return added


def cells_of(rows: np.ndarray, whole: int, times: int) -> np.ndarray:
    """The first `whole` rows as (cells, times, w), a view."""
    return rows[:whole].reshape(whole // times, times, rows.shape[1])


def round_levels(fixed: np.ndarray) -> np.ndarray:
    """Fixed-point levels (int16, overwritten) as whole ones within 0..255."""
    fixed += np.int16(1 << (FRACTION_BITS - 1))
    fixed >>= FRACTION_BITS
    return np.clip(fixed, 0, 255, out=fixed)


@lru_cache(maxsize=16)
def luma_levels(coding: ColorCoding) -> np.ndarray:
    """For each luma (or RGB) sample its 8-bit level, int16 fixed point."""
    samples = np.arange(2.0 ** max(coding.bits, 8))
    return fixed_point((samples - coding.black) / coding.luma_scale)


@lru_cache(maxsize=16)
def chroma_levels(coding: ColorCoding) -> tuple[np.ndarray, ...]:
    """For each chroma sample what V adds to red, U and V to green, U to blue, int16 fixed point."""
    red, blue = LUMA_WEIGHTS[coding.matrix]
    green = 1 - red - blue
    chroma = (np.arange(2.0 ** max(coding.bits, 8)) - 2 ** (coding.bits - 1)) / coding.chroma_scale
    v_red, u_blue = 2 * (1 - red), 2 * (1 - blue)
    factors = (v_red, -u_blue * blue / green, -v_red * red / green, u_blue)
    return tuple(fixed_point(chroma * factor) for factor in factors)


def fixed_point(levels: np.ndarray) -> np.ndarray:
    """Levels in [0, 1] as int16 multiples of 2^-FRACTION_BITS of an 8-bit level."""
    return np.rint(levels * 255 * 2**FRACTION_BITS).astype(np.int16)
