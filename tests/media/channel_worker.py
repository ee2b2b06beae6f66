"""Reads and writes sounds of 1 to 24 channels in a process of its own, which a fault would end: a line a case."""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from latentsync_core.media import (
    EncodeSettings,
    VideoReader,
    VideoWriter,
    probe_audio,
    read_waveform,
    resample_waveform,
    stream_audio,
)
from latentsync_core.media.write.mix import mixed_blocks

RATE = 16_000  # Hz
SAMPLES = 3200
SOURCES = {"wav": ("pcm_s16le", "s16"), "nut": ("pcm_s16le_planar", "s16p"), "mkv": ("wavpack", "fltp")}
NAMED = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1", 10: "7.1.2", 24: "22.2"}
TONE = (0.3 * np.sin(2 * np.pi * 300 * np.arange(SAMPLES) / RATE)).astype(np.float32)
FAST = {"preset": "ultrafast"}


def record(path: Path, channels: int, layout: str, pictures: int = 5) -> Path:
    """A file in whose every channel TONE sounds; .mkv has pictures too."""
    codec, sample_format = SOURCES[path.suffix[1:]]
    with av.open(str(path), "w") as container:
        if path.suffix == ".mkv":
            video = container.add_stream("ffv1", rate=25, width=32, height=32, pix_fmt="yuv420p")
        audio = container.add_stream(codec, rate=RATE, layout=layout)
        audio.codec_context.format = sample_format
        for index in range(pictures if path.suffix == ".mkv" else 0):
            picture = av.VideoFrame(32, 32, "yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(video.encode(picture))
        block = av.AudioFrame.from_ndarray(np.repeat(TONE, channels)[None], "flt", layout)
        block.sample_rate, block.pts, block.time_base = RATE, 0, Fraction(1, RATE)
        for piece in av.AudioResampler(format=sample_format, layout=layout, rate=RATE).resample(block):
            container.mux(audio.encode(piece))
        for stream in container.streams:
            container.mux(stream.encode(None))
    return path


def write(voice, video: Path, target: Path, codec: str) -> str:
    """`voice` written to a copy of `video`; the codec and channels it came out with."""
    with VideoReader(video) as reader:
        settings = EncodeSettings(**FAST, audio_codec=codec)
        with VideoWriter(target, reader.info, settings, audio=voice, overwrite=True) as writer:
            for frame in reader.frames():
                writer.write(frame.picture)
    heard = read_waveform(target)
    check(heard, 0.2 if codec == "auto" else 1e-3, target)  # AAC is not exact
    info = probe_audio(target)
    return f"{info.codec} {info.channels}"


def check(waveform: np.ndarray, tolerance: float, what: object) -> None:
    """The tone came through, but for the edges, which a codec or a resampler rounds off."""
    middle = slice(400, SAMPLES - 400)
    assert len(waveform) == SAMPLES, (what, len(waveform))
    difference = np.abs(waveform[middle] - TONE[middle]).max()
    assert difference < tolerance, (what, difference)


def examine(folder: Path, video: Path, channels: int, layout: str) -> str:
    """Every way a sound of so many channels goes in and out; the codecs and channels it came out with."""
    for kind in SOURCES:
        path = record(folder / f"{channels}.{kind}", channels, layout)
        assert probe_audio(path).channels == channels
        check(read_waveform(path), 1e-3, path)
        assert sum(block.samples for block in stream_audio(path)) == SAMPLES
    check(resample_waveform(np.tile(TONE, (channels, 1)), RATE), 1e-5, "canvas")
    written = [write(path, path, folder / "a.mkv", "pcm"), write(path, path, folder / "a.mp4", "auto")]
    mixed = mixed_blocks(lambda: stream_audio(video), path, Fraction(SAMPLES, RATE))
    assert sum(block.samples for block in mixed) == SAMPLES
    if channels > 8:
        written.append(write(path, video, folder / "b.mov", "alac"))
    return ", ".join(written)


def main(folder: Path) -> None:
    video = record(folder / "video.mkv", 1, "mono")
    for channels in range(1, 25):
        for layout in filter(None, (f"{channels} channels", NAMED.get(channels))):
            sys.stdout.write(f"{channels} {layout}: {examine(folder, video, channels, layout)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
