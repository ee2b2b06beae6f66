"""The properties of a video file, read from its headers and its first picture."""

import logging
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error

from ...errors import LatentSyncError
from ..picture.color import MATRIX_NAMES, color_coding
from ..picture.hdr import HdrMetadata
from ..picture.planes import (
    Orientation,
    has_alpha_channel,
    layout_of,
    native_picture,
    pixel_layout,
    upright,
)
from .source import open_media, read_packets, stated_seconds, video_stream
from .stamps import DISCONTINUITY, StampClock

log = logging.getLogger(__name__)

FALLBACK_FPS = Fraction(25)  # for pictures and streams that state no rate
HDR_TRANSFERS = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}  # H.273 transfer characteristics
FIRST_PICTURE_PACKETS = 64  # read in search of a complete first picture before an incomplete one is taken
IMPLAUSIBLE_RATE = Fraction(9, 10)  # share of the usual rate below which an average may include discontinuities
HIGHEST_FPS = 1000  # rates above this are a time base mistaken for a rate


@dataclass(frozen=True)
class VideoInfo:
    """One video track as a player shows it.

    width, height: upright, pixels. fps: average (or guessed) rate. duration: seconds, None where not stated.
    frames: the container's own count, None where it has none; only decoding gives the true one. pixel_format: of the
    upright pictures. rotation: degrees clockwise that were applied to the stored pictures, after `mirrored`.
    color_*: the file's tags as ITU-T H.273 codes (color_range: 1 limited, 2 full); 2, for the range 0, is untagged.
    sample_aspect_ratio: width to height of one pixel, upright; None where not stated. alpha: whether the file carries
    transparency, kept in the pictures or not. interlaced: whether the first picture is of two fields.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    duration: float | None
    frames: int | None
    pixel_format: str
    codec: str
    rotation: int
    mirrored: bool
    color_range: int
    color_space: int
    color_primaries: int
    color_trc: int
    sample_aspect_ratio: Fraction | None
    has_audio: bool
    hdr_metadata: HdrMetadata = HdrMetadata()
    alpha: bool = False
    interlaced: bool = False

    @property
    def bit_depth(self) -> int:
        """Bits per sample."""
        return pixel_layout(self.pixel_format).bits

    @property
    def matrix(self) -> str:
        """The matrix pictures are converted with: bt601, bt709, bt2020, ... or rgb; a guess where untagged."""
        layout = pixel_layout(self.pixel_format)
        return color_coding(layout, self.height, self.color_space, self.color_range).matrix

    @property
    def full_range(self) -> bool:
        """Whether samples use all their values; a guess where untagged."""
        layout = pixel_layout(self.pixel_format)
        return color_coding(layout, self.height, self.color_space, self.color_range).full_range

    @property
    def hdr(self) -> str | None:
        """The name of the high-dynamic-range transfer curve, None for ordinary video."""
        return HDR_TRANSFERS.get(self.color_trc)


def probe_video(path: str | os.PathLike) -> VideoInfo:
    """The properties of the first video track of `path`; decodes one picture.

    Raises LatentSyncError for a file that cannot be opened, has no video track or none that decodes.
    """
    with open_media(path, "a video file") as container:
        stream = video_stream(container, path)
        return describe_video(container, stream, first_picture(container, stream, path), path)


def first_picture(container, stream, path: str | os.PathLike) -> av.VideoFrame:
    """The first picture that decodes whole, else the first that decodes at all; LatentSyncError if none does."""
    reasons, patched = ["it holds no pictures"], None
    for number, packet in enumerate(read_packets(container, stream, reasons.append)):
        if patched is not None and number > FIRST_PICTURE_PACKETS:
            break
        try:
            for picture in packet.decode():
                if not picture.is_corrupt:
                    return picture
                patched = patched or picture
        except av.error.FFmpegError as error:
            reasons.append(error.strerror)
    if patched is not None:
        return patched
    raise LatentSyncError(
        f"{path}: not one picture of its {stream.codec_context.name} video track could be decoded ({reasons[-1]}); "
        "the file is damaged or truncated, make a fresh copy of it"
    )


def describe_video(container, stream, picture: av.VideoFrame, path: str | os.PathLike) -> VideoInfo:
    """The VideoInfo of an open track whose first decoded (stored, not yet upright) picture is `picture`."""
    orientation = Orientation.of(picture)
    shown = upright(native_picture(picture), orientation)
    context = stream.codec_context
    seconds = stream.duration * stream.time_base if stream.duration else None
    if seconds is None:
        seconds = stated_seconds(container)
    info = VideoInfo(
        path=Path(path),
        width=shown.width,
        height=shown.height,
        fps=running_rate(stream, path),
        duration=None if seconds is None else float(seconds),
        frames=stream.frames or None,
        pixel_format=shown.format.name,
        codec=context.name,
        rotation=orientation.degrees,
        mirrored=orientation.mirrored,
        color_range=int(picture.color_range or context.color_range or 0),
        color_space=int(picture.colorspace),
        color_primaries=int(context.color_primaries),
        color_trc=int(context.color_trc),
        sample_aspect_ratio=pixel_shape(stream, orientation),
        has_audio=bool(container.streams.audio),
        hdr_metadata=HdrMetadata.of(picture),
        alpha=carries_alpha(stream, picture),
        interlaced=bool(picture.interlaced_frame),
    )
    if layout_of(shown).family == "yuv" and info.color_space not in (2, *MATRIX_NAMES):
        log.warning("%s: its colour matrix (code %d) is not known, %s is assumed", path, info.color_space, info.matrix)
    return info


def carries_alpha(stream, picture: av.VideoFrame) -> bool:
    """Whether a track, whose first stored picture is `picture`, has transparency.

    FFmpeg gives GIF and lossless WebP an alpha channel in any case; there only its use in the picture counts. The alpha
    of VP8 and VP9 in WebM is a stream of its own, which their decoders leave out.
    """
    if picture.format.name == "pal8" or stream.codec_context.name in ("gif", "webp"):
        return bool((picture.reformat(format="rgba").to_ndarray()[:, :, 3] < 255).any())
    return has_alpha_channel(picture.format) or stream.metadata.get("alpha_mode") == "1"


def running_rate(stream, path: str | os.PathLike) -> Fraction:
    """The average rate of a track of the file `path`, without the discontinuities of its time stamps."""
    return (continuous_rate(stream, path) if may_be_discontinuous(stream) else None) or frame_rate(stream)


def frame_rate(stream) -> Fraction:
    """The track's average rate, else the guessed one, else 25 frames per second."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        is_still = stream.frames == 1 and rate == 1  # what AVIF states
        if rate and 0 < rate <= HIGHEST_FPS and not is_still:
            return Fraction(rate)
    return FALLBACK_FPS


def may_be_discontinuous(stream) -> bool:
    """Whether a track's stated length, and so its average rate, may include discontinuities of its time stamps."""
    usual, average = stream.guessed_rate, stream.average_rate
    if not (usual and average and stream.frames and stream.duration) or usual > HIGHEST_FPS:
        return False
    unfilled = stream.duration * stream.time_base - stream.frames / Fraction(usual)
    return average < IMPLAUSIBLE_RATE * usual and unfilled > DISCONTINUITY


def continuous_rate(stream, path: str | os.PathLike) -> Fraction | None:
    """The average rate of a track without the forward discontinuities of its time stamps; None where there is none."""
    with open_media(path, "a video file") as container:
        track = video_stream(container, path)
        step = 1 / (stream.guessed_rate * track.time_base)
        clock = StampClock(track.time_base, step, set(container.format.name.split(",")), reordered=True)
        stamps: list[int] = []
        for packet in read_packets(container, [track, *container.streams.audio], log.debug):
            if packet.stream.index != track.index:
                clock.note_sound(packet)
                continue
            stamps += [settled.pts for settled in clock.push(packet) if settled.pts is not None]
        ahead = [run for run in clock.runs if run.step > 0]
    span = max(stamps, default=0) - min(stamps, default=0)
    return (len(stamps) - 1) / (span * track.time_base) if ahead and span else None


def pixel_shape(stream, orientation: Orientation) -> Fraction | None:
    """Width to height of one upright pixel, None where the file does not say."""
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not ratio:
        return None
    return 1 / Fraction(ratio) if orientation.transpose else Fraction(ratio)
