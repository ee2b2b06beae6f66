"""A small MuseTalk, and short clips of the packaged portrait."""

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tiny_musetalk import write_musetalk

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.generators.musetalk.generator import MuseTalk
from latentsync_core.generators.musetalk.loading import load_musetalk
from latentsync_core.media import EncodeSettings, Frame, VideoInfo, VideoReader, VideoWriter


@pytest.fixture(scope="package")
def checkpoint(tmp_path_factory) -> Path:
    return write_musetalk(tmp_path_factory.mktemp("musetalk") / "narrow_musetalk_1.5.safetensors")


@pytest.fixture(scope="package")
def musetalk(checkpoint) -> MuseTalk:
    return load_musetalk(checkpoint, device="cpu")


@pytest.fixture(scope="package")
def portrait() -> tuple[VideoInfo, list[Frame]]:
    """The first twelve frames of the packaged clip."""
    with VideoReader(CLIP) as reader:
        return reader.info, list(reader.frames(0, 12))


@pytest.fixture(scope="package")
def voice(tmp_path_factory) -> Path:
    """The first 0.48 s of the packaged voice: 12 frames at 25 fps."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(round(0.48 * source.getframerate())))
    return path


@pytest.fixture
def write_clip(portrait, tmp_path):
    """``write_clip(fps, without_face=3)``: the portrait's frames, that many black ones before them, without loss."""

    def write(fps: Fraction | int = 25, without_face: int = 0) -> Path:
        info, frames = portrait
        path = tmp_path / f"clip-{float(fps):.3f}-{without_face}.mkv"
        with VideoWriter(path, info, EncodeSettings(codec="ffv1"), fps=Fraction(fps)) as writer:
            for _ in range(without_face):
                black = frames[0].picture.reformat(format="rgb24").to_ndarray() * np.uint8(0)
                writer.write(type(frames[0].picture).from_ndarray(black, format="rgb24").reformat(format="yuv420p"))
            for frame in frames:
                writer.write(frame.picture)
        return path

    return write
