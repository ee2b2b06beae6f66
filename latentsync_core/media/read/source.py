"""Open a media file for reading, or raise an error that says what it is instead.

Only plain local files are opened: no playlists, scripts, devices or network addresses, whatever the name looks like.
"""

import io
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error

from ...errors import LatentSyncError
from ...input_files import check_readable
from .animated_webp import as_matroska, is_animated_webp

REFUSED_FORMATS = {"tty", "concat", "hls", "dash", "sdp", "bin", "xbin", "idf", "adf", "lavfi", "rtsp", "imf"}
"""Demuxers that render text as a picture or follow a list to other files."""

GIVE_UP_FAILURES = 8  # failed reads in a row
READ_OPTIONS = {"protocol_whitelist": "file", "pattern_type": "none"}  # a % in a name is no numbered sequence


def open_media(path: str | os.PathLike, needs: str) -> av.container.InputContainer:
    """Open `path` with PyAV; `needs` ends the refusal, as in "a video file is needed".

    Raises LatentSyncError for a missing, unreadable, empty or unrecognised file and for anything that is no plain file.
    """
    path = Path(path)
    check_readable(path, needs)
    source = as_matroska(path) if is_animated_webp(path) else f"file:{path.absolute()}"
    try:
        options = {} if isinstance(source, io.BytesIO) else READ_OPTIONS
        container = av.open(source, options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise LatentSyncError(f"{path}: {describe_unopened(path, error)}; {needs} is needed") from error
    formats = set(container.format.name.split(","))
    if formats & REFUSED_FORMATS:
        container.close()
        raise LatentSyncError(f"{path}: this is text or a playlist ({container.format.name}), {needs} is needed")
    return container


def describe_unopened(path: Path, error: Exception) -> str:
    """A description of a file that no demuxer accepts."""
    with open(path, "rb") as file:
        start = file.read(4096)
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "its index (moov) is missing or damaged, so the recording or the copy was truncated"
    if b"\0" not in start:
        return "this is a text file"
    return f"no known media format was found in it ({getattr(error, 'strerror', None) or error})"


def video_stream(container: av.container.InputContainer, path: str | os.PathLike) -> av.video.stream.VideoStream:
    """The file's first real video track, cover art aside; LatentSyncError where there is none or no decoder for it."""
    tracks = [stream for stream in container.streams.video if not is_cover_art(stream)]
    if not tracks:
        found = "only cover art" if container.streams.video else describe_tracks(container)
        raise LatentSyncError(f"{path}: there is no video track in this file ({found}), a video file is needed")
    return decodable(tracks[0], path)


def decodable(stream, path):
    """`stream`, or a LatentSyncError when this build of PyAV has no decoder for it."""
    if stream.codec_context is None:
        raise LatentSyncError(f"{path}: the codec of its {stream.type} track is unknown here; convert the file first")
    return stream


def read_packets(container, stream, on_damage: Callable[[str], None]) -> Iterator[av.Packet]:
    """The packets of `stream` to the end of the file, past damaged parts of the container.

    on_damage gets the reason each time; after several failures in a row the file counts as ended.
    """
    failures = 0
    while failures < GIVE_UP_FAILURES:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except av.error.FFmpegError as error:
            failures += 1
            on_damage(error.strerror)


def stated_seconds(container: av.container.InputContainer) -> Fraction | None:
    """Seconds from the first of a file's pictures and sounds to its end by the header; None where it does not say.

    Matroska states the time stamp of its end, and a recording cut out of a live stream counts that from anywhere.
    """
    if not container.duration:
        return None
    begins = container.start_time or 0 if "matroska" in container.format.name.split(",") else 0
    whole = container.duration - begins if 0 < begins < container.duration else container.duration
    return Fraction(whole, av.time_base)


def is_cover_art(stream: av.video.stream.VideoStream) -> bool:
    """Whether a video track is the picture attached to a music file."""
    disposition = getattr(stream, "disposition", None)  # PyAV >= 14.1
    if disposition is None:
        return bool(stream.container.streams.audio) and stream.codec_context.name in ("mjpeg", "png", "bmp", "gif")
    return bool(disposition & type(disposition).attached_pic)


def describe_tracks(container: av.container.InputContainer) -> str:
    """The kinds of track in a file, as in "only audio"."""
    kinds = sorted({stream.type for stream in container.streams})
    return "only " + " and ".join(kinds) if kinds else "no tracks at all"
