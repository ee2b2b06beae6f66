"""A seeded Whisper encoder and the voice of the reference tensors."""

import zlib

import numpy as np
import pytest
from seeded import seed_weights

from latentsync_core.models.whisper import WhisperEncoder


@pytest.fixture(scope="session")
def whisper(golden):
    return seed_weights(WhisperEncoder.from_dims(golden("whisper_small.json")), prefix="encoder.")


@pytest.fixture(scope="session")
def speech():
    """``speech(seconds)``: the synthetic voice of golden/README.md, float32 at 16 kHz."""

    def make(seconds: float) -> np.ndarray:
        t = np.arange(int(16000 * seconds)) / 16000
        pitch = np.sin(2 * np.pi * (120 + 60 * np.sin(2 * np.pi * 0.7 * t)) * t)
        noise = np.random.RandomState(zlib.crc32(f"speech{seconds}".encode())).standard_normal(len(t))
        return (0.3 * pitch * (0.5 + 0.5 * np.sin(2 * np.pi * 3.1 * t)) + 0.02 * noise).astype(np.float32)

    return make
