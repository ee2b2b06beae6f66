"""Peak memory of a whole run by the length of the clip, with which it should not grow.

Every run has its own process, since a peak is kept for the life of a process.
"""

import dataclasses
import multiprocessing
import sys
import tempfile
import wave
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from ..demo import CLIP, VOICE
from ..errors import LatentSyncError
from ..media import EncodeSettings, VideoReader, VideoWriter
from ..media.picture.planes import channel_samples, copy_tags
from .footprint import Footprint, run_footprint

BLACK = (16, 128, 128)  # Y, U, V at 8 bits, limited range
FAST_ENCODE = EncodeSettings(preset="ultrafast", crf=20)  # the clip only has to show a face


@dataclass(frozen=True)
class MemoryUse:
    """One run: the clip's length in seconds, and what its process took."""

    seconds: float
    footprint: Footprint


def measure_memory(seconds: float, width: int = 1920, height: int = 1080) -> MemoryUse:
    """Lip-sync a clip of `seconds` and `width` x `height` pixels in a process of its own and return what it took.

    The clip and the voice are the package's own, repeated; the model is the embedded one, at one step.
    Raises LatentSyncError where the system does not tell a process's peak, and for a size too small to hold a face.
    """
    if sys.platform == "win32":
        raise LatentSyncError("Windows is not measured here; peak memory can be read on Linux and macOS only.")
    if not seconds > 0:
        raise LatentSyncError(f"A clip of {seconds} s was asked for; a length above 0 is needed.")
    if width % 2 or height % 2 or min(width, height) < 128:
        raise LatentSyncError(f"A size of {width}x{height} was asked for; even numbers of at least 128 are needed.")
    with tempfile.TemporaryDirectory(prefix="latentsync-memory-") as folder:
        video, voice, output = (Path(folder) / name for name in ("clip.mkv", "voice.wav", "out.mp4"))
        render_clip(video, seconds, width, height)
        repeat_voice(voice, seconds)
        context = multiprocessing.get_context("spawn")  # a fork would start with this process's memory
        with ProcessPoolExecutor(1, mp_context=context) as process:
            return MemoryUse(seconds, process.submit(run_footprint, video, voice, output).result())


def render_clip(path: Path, seconds: float, width: int, height: int) -> None:
    """Write the demo clip, repeated to `seconds` and fitted between black bars, to `path`."""
    with VideoReader(CLIP) as reader:
        info = dataclasses.replace(reader.info, width=width, height=height)
        with VideoWriter(path, info, FAST_ENCODE) as writer:
            count = round(seconds * info.fps)
            indices = (index % reader.info.frames for index in range(count))
            for frame in reader.frames_at(indices):
                writer.write(letterboxed(frame.picture, width, height))


def letterboxed(picture: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """A yuv420p `picture` scaled to fit `width` x `height` pixels, centred on black."""
    scale = min(Fraction(width, picture.width), Fraction(height, picture.height))
    inner_width, inner_height = (int(side * scale) // 2 * 2 for side in (picture.width, picture.height))
    scaled = picture.reformat(width=inner_width, height=inner_height)
    canvas = av.VideoFrame(width, height, picture.format.name)
    copy_tags(picture, canvas)
    left, top = (width - inner_width) // 4 * 2, (height - inner_height) // 4 * 2
    for black, target, source in zip(BLACK, channel_samples(canvas), channel_samples(scaled), strict=True):
        share = target.shape[0] / height  # of a plane's rows and columns: 1 for luma, 1/2 for chroma
        row, column = int(top * share), int(left * share)
        target[:] = black
        target[row : row + source.shape[0], column : column + source.shape[1]] = source
    return canvas


def repeat_voice(path: Path, seconds: float) -> None:
    """Write the demo voice, repeated to `seconds`, to `path`."""
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        left = round(seconds * source.getframerate())
        for piece in voice_pieces(source):
            frames = min(left, len(piece) // (source.getsampwidth() * source.getnchannels()))
            target.writeframes(piece[: frames * source.getsampwidth() * source.getnchannels()])
            left -= frames
            if not left:
                return


def voice_pieces(source: wave.Wave_read) -> Iterator[bytes]:
    """The whole recording, again and again."""
    piece = source.readframes(source.getnframes())
    while True:
        yield piece
