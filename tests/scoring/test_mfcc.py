"""The cepstra equal python_speech_features', however long the voice is."""

import zlib

import numpy as np
import pytest

from latentsync_core.scoring import mfcc
from latentsync_core.scoring.mfcc import BLOCK_STEPS, STEP, WINDOW, mel_filters


def speech(seconds: float) -> np.ndarray:
    """The voice of the reference tensors, int16 (tests/golden/README.md)."""
    t = np.arange(int(16000 * seconds)) / 16000
    base = np.sin(2 * np.pi * (120 + 60 * np.sin(2 * np.pi * 0.7 * t)) * t) * (0.5 + 0.5 * np.sin(2 * np.pi * 3.1 * t))
    noise = np.random.RandomState(zlib.crc32(f"speech{seconds}".encode())).standard_normal(len(t))
    return (32767 * (0.3 * base + 0.02 * noise).astype(np.float32)).astype(np.int16)


def test_a_voice_has_the_reference_cepstra(golden):
    expected = golden("syncnet_v2.npz")["mfcc"]
    found = mfcc(speech(3.7))
    assert found.shape == expected.shape and found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-3


def test_blocks_leave_no_trace():
    """A voice of more than one block has the cepstra that its parts have."""
    voice = np.tile(speech(3.7), 13)
    whole, first = mfcc(voice), (BLOCK_STEPS - 5) * STEP
    part = mfcc(voice[first:])  # whose first step lacks the sample before it
    assert whole.shape[1] > BLOCK_STEPS + 100
    np.testing.assert_allclose(whole[:, BLOCK_STEPS - 4 : BLOCK_STEPS + 100], part[:, 1:105], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("samples", "steps"), [(1, 1), (WINDOW, 1), (WINDOW + 1, 2), (WINDOW + STEP, 2), (640, 3)])
def test_the_last_window_reaches_into_zeros(samples, steps):
    assert mfcc(np.ones(samples, np.int16)).shape == (13, steps)


def test_silence_has_numbers_and_a_louder_voice_more_energy():
    assert np.isfinite(mfcc(np.zeros(1600, np.int16))).all()
    quiet = speech(0.5) // 4
    louder = mfcc(quiet * 2)[0] - mfcc(quiet)[0]
    np.testing.assert_allclose(louder, 2 * np.log(2), atol=1e-4)  # power grows by four


def test_filters_are_triangles_that_peak_at_one():
    filters = mel_filters()
    assert filters.shape == (26, 257) and np.all(filters.max(1) == 1)
    assert np.all(np.diff(filters.argmax(1)) > 0)


def test_only_a_mono_voice_is_taken():
    with pytest.raises(ValueError, match=r"\(samples,\) of a mono voice, got the shape \(2, 800\)"):
        mfcc(np.zeros((2, 800), np.int16))
