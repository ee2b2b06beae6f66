"""Animated WebP, which FFmpeg does not decode: read with Pillow, passed on as FFV1 in Matroska, all in memory."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from ...errors import LatentSyncError

HEADER_BYTES = 21
ANIMATION = 0x02  # flag in the extended header (RFC 9649, section 2.7.1)
MOST_BYTES = 2**28  # of decoded pictures times frames; longer clips belong in a video file
SHORTEST_MS = 10  # browsers show frames of less as this or longer


def is_animated_webp(path: Path) -> bool:
    """Whether a file's header says it is a WebP with more than one picture."""
    with open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    is_extended = start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X"
    return is_extended and len(start) == HEADER_BYTES and bool(start[20] & ANIMATION)


def as_matroska(path: Path) -> io.BytesIO:
    """The pictures of an animated WebP, at their times, as a Matroska file, with their transparency if they have any.

    Raises LatentSyncError for a damaged file and for one that would take more than 1 GiB.
    """
    result = io.BytesIO()
    try:
        with Image.open(path) as source, av.open(result, "w", format="matroska") as container:
            if source.width * source.height * source.n_frames > MOST_BYTES:
                raise LatentSyncError(f"{path}: this animation is too large; convert it to a video file first")
            size = {"width": source.width, "height": source.height}
            mode, form = ("RGBA", "bgra") if source.mode == "RGBA" else ("RGB", "bgr0")
            stream = container.add_stream("ffv1", rate=25, **size, pix_fmt=form)
            stream.codec_context.time_base = Fraction(1, 1000)
            start = 0  # milliseconds
            for number in range(source.n_frames):
                source.seek(number)
                samples = np.asarray(source.convert(mode))
                picture = av.VideoFrame.from_ndarray(samples, format="rgba" if mode == "RGBA" else "rgb24")
                picture = picture.reformat(format=form)
                picture.pts, picture.time_base = start, Fraction(1, 1000)
                container.mux(stream.encode(picture))
                start += max(SHORTEST_MS, int(source.info.get("duration") or 40))
            container.mux(stream.encode(None))
    except LatentSyncError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LatentSyncError(f"{path}: this animated WebP is damaged ({error}); a video file is needed") from error
    result.seek(0)
    return result
