"""Pictures as their own native planes: the memory layout of samples, lossless copies, and upright orientation.

A layout says for every plane how many samples one cell holds (3 in rgb24, 2 in the chroma plane of nv12) and how much
it is subsampled, and for every channel (Y, U, V or R, G, B) in which plane and at which position in the cell it is.
So one piece of code reads, edits and turns yuv420p, nv12, gbrp or rgb24 alike.
"""

import re
import zlib
from dataclasses import dataclass
from functools import cache

import av
import numpy as np

SUBSAMPLING = {"444": (1, 1), "440": (1, 2), "422": (2, 1), "420": (2, 2), "411": (4, 1), "410": (4, 4)}
PACKED_RGB = {"rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "bgr0", "0rgb", "0bgr"}
UNTAGGED = {"color_range": 0, "colorspace": 2, "color_primaries": 2, "color_trc": 2}
"""Frame attributes that carry colour tags (H.273 codes) and their value for "unspecified"."""
CHECKED_ROWS = 4  # every 4th row is in a checksum: no codec's block is lower, so every block is checked


@dataclass(frozen=True)
class PlaneLayout:
    """One plane: samples per cell, and how many pixels a cell spans across and down."""

    step: int
    sub_x: int
    sub_y: int

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(rows, cells, samples per cell) of this plane in a picture of `height` x `width` pixels."""
        return -(-height // self.sub_y), -(-width // self.sub_x), self.step


@dataclass(frozen=True)
class PixelLayout:
    """A pixel format as planes and channels; `family` is "yuv", "gray" or "rgb", `bits` the depth of a sample."""

    name: str
    family: str
    bits: int
    planes: tuple[PlaneLayout, ...]
    channels: tuple[tuple[int, int], ...]  # of Y, U, V or R, G, B: (plane, place in the cell)

    @property
    def dtype(self) -> type:
        """uint8 up to 8 bits, uint16 above."""
        return np.uint8 if self.bits <= 8 else np.uint16

    @property
    def has_alpha(self) -> bool:
        """Whether the format carries transparency."""
        return self.name.startswith(("yuva", "gbra")) or (self.name in PACKED_RGB and "a" in self.name)


@cache
def pixel_layout(name: str) -> PixelLayout | None:
    """The layout of the pixel format called `name`; None for formats that are repacked first (see native_picture)."""
    full = PlaneLayout(1, 1, 1)
    if match := re.fullmatch(r"yuv(a?)j?(\d{3})p(\d*)(?:le)?", name):
        chroma = PlaneLayout(1, *SUBSAMPLING[match[2]])
        planes = (full, chroma, chroma) + ((full,) if match[1] else ())
        return PixelLayout(name, "yuv", int(match[3] or 8), planes, ((0, 0), (1, 0), (2, 0)))
    if name in ("nv12", "nv21", "nv16", "nv24"):
        chroma = PlaneLayout(2, *SUBSAMPLING[{"6": "422", "4": "444"}.get(name[3], "420")])
        order = ((1, 1), (1, 0)) if name == "nv21" else ((1, 0), (1, 1))
        return PixelLayout(name, "yuv", 8, (full, chroma), ((0, 0), *order))
    if match := re.fullmatch(r"gray(\d*)(?:le)?", name):
        return PixelLayout(name, "gray", int(match[1] or 8), (full,), ((0, 0),))
    if match := re.fullmatch(r"gbr(a?)p(\d*)(?:le)?", name):
        planes = (full,) * (4 if match[1] else 3)
        return PixelLayout(name, "rgb", int(match[2] or 8), planes, ((2, 0), (0, 0), (1, 0)))
    if name in PACKED_RGB:
        letters = name.removesuffix("24")
        planes = (PlaneLayout(len(letters), 1, 1),)
        return PixelLayout(name, "rgb", 8, planes, tuple((0, letters.index(letter)) for letter in "rgb"))
    return None


def layout_of(picture: av.VideoFrame) -> PixelLayout:
    """The layout of a picture that native_picture has accepted."""
    layout = pixel_layout(picture.format.name)
    if layout is None:
        raise ValueError(f"pixel format {picture.format.name} has no layout; pass the picture through native_picture")
    return layout


def native_picture(picture: av.VideoFrame) -> av.VideoFrame:
    """`picture` itself where its format has a layout, else repacked into the planar format nearest to it."""
    if pixel_layout(picture.format.name) is not None and all(plane.line_size > 0 for plane in picture.planes):
        return picture
    repacked = picture.reformat(format=planar_format(picture.format))
    copy_tags(picture, repacked)
    return repacked


def has_alpha_channel(pixels: av.VideoFormat) -> bool:
    """Whether a pixel format, with a layout or not, has transparency: yuva420p, rgba64be, ya8, ..."""
    return any(component.is_alpha for component in pixels.components)


def planar_format(pixels: av.VideoFormat) -> str:
    """The planar little-endian format with the channels, subsampling and depth of `pixels`, at most 16 bits."""
    bits = min(16, max(component.bits for component in pixels.components))
    depth = "" if bits <= 8 else f"{next(b for b in (9, 10, 12, 14, 16) if b >= bits)}le"
    if pixels.is_rgb or pixels.has_palette:
        return "gbrp" + depth if bits > 8 and not pixels.has_palette else "rgb24"
    if len(pixels.components) < 3:
        return "gray" + depth
    chroma_x, chroma_y = (pixels.chroma_width(64), pixels.chroma_height(64))
    name = next((n for n, (x, y) in SUBSAMPLING.items() if (64 // x, 64 // y) == (chroma_x, chroma_y)), "444")
    return f"yuv{name}p{depth}"


def plane_samples(picture: av.VideoFrame) -> list[np.ndarray]:
    """Writable views of all planes, each (rows, cells, samples per cell), uint8 or uint16, line padding left out."""
    layout = layout_of(picture)
    views = []
    for plane, spec in zip(picture.planes, layout.planes, strict=True):
        rows, cells, step = spec.shape(picture.height, picture.width)
        lines = np.frombuffer(plane, layout.dtype).reshape(-1, plane.line_size // np.dtype(layout.dtype).itemsize)
        views.append(lines[:rows, : cells * step].reshape(rows, cells, step))
    return views


def checksum(picture: av.VideoFrame) -> int:
    """Adler-32 over every fourth row of each plane of a picture."""
    value = 1
    for samples in plane_samples(picture):
        value = zlib.adler32(np.ascontiguousarray(samples[::CHECKED_ROWS]), value)
    return value


def channel_samples(picture: av.VideoFrame) -> list[np.ndarray]:
    """Writable views (rows, cells) of the channels Y, U, V or R, G, B (or Y alone)."""
    planes = plane_samples(picture)
    return [planes[plane][:, :, place] for plane, place in layout_of(picture).channels]


def alpha_samples(picture: av.VideoFrame) -> np.ndarray | None:
    """A writable view (rows, cells) of the transparency, None where the format has none."""
    layout = layout_of(picture)
    if not layout.has_alpha:
        return None
    planes = plane_samples(picture)
    return planes[0][:, :, layout.name.index("a")] if len(planes) == 1 else planes[3][:, :, 0]


def copy_tags(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Give `target` the colour tags and the timestamp of `source`."""
    for name, unspecified in UNTAGGED.items():
        if hasattr(source, name):  # primaries and transfer: newer PyAV only
            setattr(target, name, int(getattr(source, name, unspecified)))
    target.pts = source.pts
    if source.time_base:
        target.time_base = source.time_base


def picture_from_planes(planes: list[np.ndarray], like: av.VideoFrame, name: str | None = None) -> av.VideoFrame:
    """A new picture made of `planes` ((rows, cells, samples) each), with the tags and timestamp of `like`."""
    height, width = planes[0].shape[:2]  # the first plane is never subsampled
    picture = av.VideoFrame(width, height, name or like.format.name)
    copy_tags(like, picture)
    for target, samples in zip(plane_samples(picture), planes, strict=True):
        target[:] = samples
    return picture


def copy_picture(picture: av.VideoFrame) -> av.VideoFrame:
    """A picture of its own memory, equal in every sample, tag and timestamp."""
    return picture_from_planes(plane_samples(picture), picture)


def pad_to_even(picture: av.VideoFrame) -> av.VideoFrame:
    """`picture` with its last row and column repeated where height or width is odd."""
    bottom, right = picture.height % 2, picture.width % 2
    if not (bottom or right):
        return picture
    height, width = picture.height + bottom, picture.width + right
    padded = []
    for samples, spec in zip(plane_samples(picture), layout_of(picture).planes, strict=True):
        rows, cells, _ = spec.shape(height, width)
        extra = ((0, rows - samples.shape[0]), (0, cells - samples.shape[1]), (0, 0))
        padded.append(np.pad(samples, extra, mode="edge"))
    return picture_from_planes(padded, picture)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: exchange rows and columns, then mirror across, then mirror down."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, picture: av.VideoFrame) -> "Orientation":
        """The orientation in a decoded frame's display matrix; upright where it carries none.

        The matrix maps stored (x, y) to shown (a x + c y, b x + d y) (ISO 14496-12, tkhd); it is taken to the nearest
        quarter turn with or without a mirror. A photograph's EXIF counts too, its mirrored kinds aside.
        """
        known = attached(picture)
        if known is None:
            quarter = round(-picture.rotation / 90) % 4
            return cls(quarter in (1, 3), quarter in (1, 2), quarter in (2, 3))
        entries = next((np.frombuffer(d, np.int32, 9) for d in known if d.type.name == "DISPLAYMATRIX"), ())
        if not len(entries) or not entries[[0, 1, 3, 4]].any():
            return cls()
        a, b, _, c, d = (int(entry) for entry in entries[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    @property
    def degrees(self) -> int:
        """Quarter turns in degrees clockwise (0, 90, 180, 270), after a left-right mirror where `mirrored`."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the stored picture is a mirror image."""
        return self.transpose ^ self.mirror_x ^ self.mirror_y


def attached(picture: av.VideoFrame) -> list | None:
    """A decoded picture's side data; None where PyAV does not know one kind of it (EXIF) and so gives none."""
    try:
        return list(picture.side_data)
    except ValueError:
        return None


def upright(picture: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    """`picture` turned by whole samples of its own planes: nothing is interpolated or converted.

    4:2:2 turned on its side is 4:4:0. With an odd size, 4:2:0 chroma ends up one pixel off at most.
    """
    if orientation == Orientation():
        return picture
    planes = plane_samples(picture)
    name = picture.format.name
    if orientation.transpose:
        planes = [plane.transpose(1, 0, 2) for plane in planes]
        name = turned_format(name)
        if name is None:
            return upright(picture.reformat(format="yuv444p"), orientation)
    if orientation.mirror_x:
        planes = [plane[:, ::-1] for plane in planes]
    if orientation.mirror_y:
        planes = [plane[::-1] for plane in planes]
    return picture_from_planes(planes, picture, name)


def turned_format(name: str) -> str | None:
    """The format whose chroma is subsampled down where that of `name` is across; None if there is none."""
    swapped = {"422": "440", "440": "422"}
    if match := re.fullmatch(r"yuv(j?)(422|440)p(|10le|12le)", name):
        return f"yuv{match[1]}{swapped[match[2]]}p{match[3]}"
    layout = pixel_layout(name)
    return name if all(plane.sub_x == plane.sub_y for plane in layout.planes) else None
