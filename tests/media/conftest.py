"""Clips and recordings made on the spot with PyAV, small enough to decode in milliseconds."""

import struct
import wave
from fractions import Fraction

import av
import numpy as np
import pytest

TKHD_MATRIX_OFFSET = 44  # bytes from the name of an mp4's tkhd box (version 0) to its display matrix
PACKED = {"rgb24": 3, "bgr24": 3, "bgr0": 4, "bgra": 4}  # bytes per pixel


def samples_of(picture):
    """Copies of a picture's planes, line padding left out, packed formats as they lie; independent of the package."""
    planes = []
    for index, plane in enumerate(picture.planes):
        parts = [part for part in picture.format.components if part.plane == index]
        dtype = np.uint8 if parts[0].bits == 8 else np.uint16
        lines = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
        packed = PACKED.get(picture.format.name, len(parts))
        planes.append(lines[: plane.height, : parts[0].width * packed].copy())
    return planes


def moving_picture(index, width, height, pixel_format):
    """A gradient that moves with a disc of its own colour and a little noise: no two frames alike."""
    rng = np.random.default_rng(index)
    y, x = np.mgrid[:height, :width]
    picture = av.VideoFrame(width, height, pixel_format)
    for number, (plane, part) in enumerate(zip(picture.planes, samples_of(picture), strict=True)):
        bits = picture.format.components[0].bits
        rows, columns = part.shape
        near = (x - width * (0.5 + 0.3 * np.sin(index / 5))) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2
        base = 60 + (x * 2 + y + index * 3) % 120 + 40 * near + 10 * number
        base = np.repeat(base, -(-columns // width), axis=1) if columns > width else base
        values = base[:: max(1, height // rows), :: max(1, width // columns)][:rows, :columns]
        values = np.pad(values, ((0, rows - values.shape[0]), (0, columns - values.shape[1])), mode="edge")
        values = (values + rng.integers(0, 6, values.shape)) * 2 ** (bits - 8)
        lines = np.frombuffer(plane, part.dtype).reshape(-1, plane.line_size // part.dtype.itemsize)
        lines[:rows, :columns] = values
    return picture


@pytest.fixture
def planes_of():
    """The planes of a picture as arrays, read without the package's own code."""
    return samples_of


@pytest.fixture
def make_picture():
    return moving_picture


@pytest.fixture
def make_clip(tmp_path):
    """``make_clip("a.mp4", frames=20, ...)`` -> path; `colors`: colour tags, `ticks`: time stamps in ms."""

    def make(
        name,
        frames=12,
        size=(64, 48),
        fps=25,
        codec="libx264",
        pixel_format="yuv420p",
        options=None,
        colors=None,
        ticks=None,
        sound=None,
        aspect=None,
    ):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
            context = stream.codec_context
            context.width, context.height, context.pix_fmt = *size, pixel_format
            context.time_base = Fraction(1, 1000) if ticks else 1 / Fraction(fps)
            if aspect:
                context.sample_aspect_ratio = aspect
            for key, value in (colors or {}).items():
                setattr(context, key, value)
            track = container.add_stream("aac", rate=48000, layout="mono") if sound is not None else None
            for index in range(frames):
                picture = moving_picture(index, *size, pixel_format)
                picture.pts, picture.time_base = ticks[index] if ticks else index, context.time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            if track:
                block = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = 48000, 0, Fraction(1, 48000)
                container.mux(track.encode(block))
                container.mux(track.encode(None))
        return path

    return make


@pytest.fixture
def decode_all():
    """Every picture of a file by a plain PyAV decode on one thread."""

    def decode(path):
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "NONE"
            return list(container.decode(video=0))

    return decode


@pytest.fixture
def make_wav(tmp_path):
    """``make_wav("a.wav", samples, rate)``: int16 (samples,) or (samples, channels) -> path."""

    def make(name, samples, rate=16000):
        path = tmp_path / name
        samples = np.asarray(samples, np.int16)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples.tobytes())
        return path

    return make


@pytest.fixture
def speech():
    """A sweep with pauses, int16 (samples,): no two intervals of it are alike, so a shift shows."""

    def make(seconds, rate=16000, seed=0):
        t = np.arange(round(seconds * rate)) / rate
        loudness = 0.3 + 0.3 * np.sin(2 * np.pi * 1.7 * t + seed)
        return np.round(20000 * loudness * np.sin(2 * np.pi * (150 * t + 90 * t * t))).astype(np.int16)

    return make


@pytest.fixture
def set_display_matrix():
    """Write a display matrix (a, b, c, d) into the video track's header of an mp4."""

    def patch(path, a, b, c, d):
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + TKHD_MATRIX_OFFSET
        one = 1 << 16
        data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
        return path

    return patch
