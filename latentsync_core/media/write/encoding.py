"""How a result is encoded: the user's choice, and the pixel format and options that follow from it and the source."""

from dataclasses import dataclass

import av
import numpy as np

from ...errors import LatentSyncError
from ...options import EncodeSettings
from ..picture.color import (
    FULL_RANGE,
    HD_HEIGHT,
    LIMITED_RANGE,
    coding_of,
    to_rgb,
)
from ..picture.planes import (
    alpha_samples,
    channel_samples,
    copy_picture,
    copy_tags,
    layout_of,
    pixel_layout,
)
from ..read.info import VideoInfo

ENCODERS = {"h264": "libx264", "hevc": "libx265", "ffv1": "ffv1"}
BT709_CODE, BT601_CODE = 1, 6  # matrix coefficients (H.273)
SAME_SAMPLES = {"nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p"}
"""Formats that hold the same samples in another order."""


@dataclass(frozen=True)
class EncodePlan:
    """The encoder's configuration. colors: H.273 codes by codec-context attribute name."""

    encoder: str
    pixel_format: str
    width: int
    height: int
    options: dict[str, str]
    colors: dict[str, int]


def plan_encoding(info: VideoInfo, settings: EncodeSettings, extension: str) -> EncodePlan:
    """Choose encoder, pixel format, size and tags for a source like `info`.

    Lossy: H.264 in 8-bit 4:2:0; HEVC in 4:2:0 with 10 bits where the source has more than 8. Lossless: the source's own
    format. An odd size in 4:2:0 grows to even (not with ffv1). Raises LatentSyncError for high dynamic range in 8 bits
    and for what the codec or container cannot hold.
    """
    if settings.codec == "ffv1" and extension != ".mkv":
        raise LatentSyncError(f"FFV1 cannot be written to {extension}; name the output .mkv or choose h264 or hevc")
    encoder, pixel_format = ENCODERS[settings.codec], "yuv420p"
    if settings.keeps_every_sample:
        encoder, pixel_format = lossless_format(info, settings.codec)
    elif info.bit_depth > 8 and settings.codec == "hevc":
        pixel_format = "yuv420p10le"
    elif info.hdr:
        raise LatentSyncError(
            f"{info.path}: this is a high dynamic range video ({info.hdr}), which 8-bit H.264 cannot represent; "
            "choose the codec hevc, which keeps 10 bits, or a lossless result"
        )
    options = encoder_options(settings)
    if extra := info.hdr_metadata.encoder_parameters(encoder):
        key = f"{encoder.removeprefix('lib')}-params"
        options[key] = ":".join([*filter(None, [options.get(key)]), *extra])
    chroma = pixel_layout(pixel_format).planes[-1]
    even = settings.codec != "ffv1"
    grow_x, grow_y = (even and chroma.sub_x == 2), (even and chroma.sub_y == 2)
    width = info.width + (info.width % 2 if grow_x else 0)
    height = info.height + (info.height % 2 if grow_y else 0)
    return EncodePlan(encoder, pixel_format, width, height, options, encoder_colors(info, pixel_format))


def what_is_lost(info: VideoInfo, plan: EncodePlan) -> list[str]:
    """What a source like `info` has that its result will not: a sentence each, for a warning."""
    losses = []
    bits = pixel_layout(plan.pixel_format).bits
    if (plan.width, plan.height) != (info.width, info.height):
        size = f"{info.width}x{info.height}"
        losses.append(f"4:2:0 needs an even size, {size} grows to {plan.width}x{plan.height}")
    if bits < info.bit_depth:
        losses.append(
            f"the source's {info.bit_depth} bits become {bits} with H.264; the codec hevc keeps 10, lossless keeps all"
        )
    if info.alpha and not pixel_layout(plan.pixel_format).has_alpha:
        kept = "; the codec ffv1 in .mkv keeps it" if pixel_layout(info.pixel_format).has_alpha else ""
        losses.append(f"the source's transparency (alpha channel) is left out{kept}")
    if info.interlaced:
        losses.append(
            "the source is interlaced and the result says that it is not: both fields stay interleaved in each frame; "
            "deinterlace the source first where that shows"
        )
    metadata = info.hdr_metadata
    if (metadata.display or metadata.light) and not metadata.encoder_parameters(plan.encoder):
        losses.append("FFV1 does not carry the source's mastering display and light levels; its colour tags stay")
    if metadata.dynamic:
        kinds = " and ".join(metadata.dynamic)
        losses.append(f"the source's {kinds} metadata describes each of its frames and is left out; the base stays")
    return losses


def lossless_format(info: VideoInfo, codec: str) -> tuple[str, str]:
    """The encoder and the pixel format that hold exactly the samples of the source's format."""
    own = info.pixel_format.replace("yuvj", "yuv")
    candidates = [own, SAME_SAMPLES.get(own, own)]
    layout = pixel_layout(own)
    if layout.family == "rgb" and layout.bits == 8:
        candidates += ["bgra", "gbrap"] if layout.has_alpha else ["gbrp", "bgr0", "bgr24"]
    encoders = [ENCODERS[codec]] + (["libx264rgb"] if codec == "h264" else [])
    for encoder in encoders:
        possible = {known.name for known in av.codec.Codec(encoder, "w").video_formats or ()}
        for name in candidates:
            if name in possible:
                return encoder, name
    raise LatentSyncError(
        f"{info.path}: {codec} cannot keep its pixel format {info.pixel_format} without loss; "
        "choose the codec ffv1 with an .mkv output, or leave lossless off"
    )


def encoder_options(settings: EncodeSettings) -> dict[str, str]:
    """The encoder's private options."""
    if settings.codec == "ffv1":
        return {"level": "3", "slicecrc": "1", "g": "1"}
    options = {"preset": settings.preset}
    if settings.codec == "h264" and settings.lossless:
        return options | {"qp": "0"}
    if settings.codec == "h264":
        # x264's macroblock tree reads uninitialised memory, so that equal pictures give unequal files from run to run.
        # Without it they are equal; at the same CRF the file is a quarter larger and 0.2 dB better.
        return options | {"crf": str(settings.crf), "x264-params": "mbtree=0"}
    if settings.lossless:
        return options | {"x265-params": "lossless=1:log-level=error"}
    return options | {"crf": str(settings.crf), "x265-params": "log-level=error"}


def encoder_colors(info: VideoInfo, pixel_format: str) -> dict[str, int]:
    """The colour tags of the result: the source's own, and new ones only where RGB becomes YUV."""
    colors = dict(
        color_range=info.color_range,
        colorspace=info.color_space,
        color_primaries=info.color_primaries,
        color_trc=info.color_trc,
    )
    source, target = pixel_layout(info.pixel_format), pixel_layout(pixel_format)
    if source.family == "rgb" and target.family == "yuv":
        colors |= dict(color_range=LIMITED_RANGE, colorspace=yuv_code_for(info.height))
    elif source.family != "rgb" and info.full_range:
        colors |= dict(
            color_range=FULL_RANGE
        )  # a format that implied full range (yuvj, grey) may become one that does not
    return colors


def yuv_code_for(height: int) -> int:
    """The H.273 matrix code RGB pictures of this height are converted with."""
    return BT709_CODE if height >= HD_HEIGHT else BT601_CODE


def convert_picture(picture: av.VideoFrame, name: str) -> av.VideoFrame:
    """A new picture in the pixel format `name` with the same matrix and range; RGB becomes limited-range YUV.

    Formats that hold the same samples are only repacked; depth and chroma are converted by swscale otherwise.
    """
    source, target = layout_of(picture), pixel_layout(name)
    if picture.format.name == name:
        return copy_picture(picture)
    same_chroma = source.channels and chroma_of(source) == chroma_of(target)
    if source.family == target.family and source.bits == target.bits and same_chroma:
        return repack(picture, name)
    if source.family == "rgb" and target.family == "yuv":
        return rgb_to_yuv(picture, name)
    if source.family == "gray" and source.bits == target.bits:
        return gray_to_yuv(picture, name)
    plain = repack(picture, picture.format.name.replace("yuvj", "yuv"))
    tag = FULL_RANGE if coding_of(picture).full_range else LIMITED_RANGE
    converted = plain.reformat(format=name, src_color_range=tag, dst_color_range=tag)
    copy_tags(picture, converted)
    return converted


def chroma_of(layout) -> tuple[int, int]:
    """How many pixels a chroma sample spans across and down."""
    plane = layout.planes[layout.channels[-1][0]]
    return plane.sub_x, plane.sub_y


def repack(picture: av.VideoFrame, name: str) -> av.VideoFrame:
    """The same samples in another order of planes."""
    repacked = av.VideoFrame(picture.width, picture.height, name)
    copy_tags(picture, repacked)
    for target, samples in zip(channel_samples(repacked), channel_samples(picture), strict=True):
        target[:] = samples
    alpha, own = alpha_samples(repacked), alpha_samples(picture)
    if alpha is not None:
        alpha[:] = 2 ** layout_of(repacked).bits - 1 if own is None else own
    return repacked


def gray_to_yuv(picture: av.VideoFrame, name: str) -> av.VideoFrame:
    """Grey with neutral chroma."""
    colored = av.VideoFrame(picture.width, picture.height, name)
    copy_tags(picture, colored)
    luma, u, v = channel_samples(colored)
    luma[:] = channel_samples(picture)[0]
    u[:] = v[:] = 1 << (layout_of(colored).bits - 1)
    return colored


def rgb_to_yuv(picture: av.VideoFrame, name: str) -> av.VideoFrame:
    """RGB as limited-range YUV, chroma averaged over its cell; BT.709 from a height of 720 on, else BT.601."""
    colored = av.VideoFrame(picture.width, picture.height, name)
    copy_tags(picture, colored)
    colored.colorspace, colored.color_range = yuv_code_for(picture.height), LIMITED_RANGE
    layout, coding = layout_of(colored), coding_of(colored)
    sub_x, sub_y = chroma_of(layout)
    rgb = to_rgb(picture).astype(np.float32)
    edges = ((0, -picture.height % sub_y), (0, -picture.width % sub_x), (0, 0))
    cells = np.pad(rgb, edges, mode="edge")
    # (rows * sub_y, columns * sub_x, 3) -> (rows, columns, 3)
    cells = cells.reshape(cells.shape[0] // sub_y, sub_y, cells.shape[1] // sub_x, sub_x, 3).mean(axis=(1, 3))
    weights = coding.matrix_from_rgb().astype(np.float32) / 255
    luma, u, v = channel_samples(colored)
    luma[:] = np.rint(rgb @ weights[0] * coding.luma_scale + coding.black)
    middle = 1 << (coding.bits - 1)
    u[:] = np.rint(cells @ weights[1] * coding.chroma_scale + middle)
    v[:] = np.rint(cells @ weights[2] * coding.chroma_scale + middle)
    return colored
