"""StableSyncNet's spectrogram: the published numbers, which librosa 0.11 gave for the demo's voice to 4e-5."""

import math

import pytest
import torch

from latentsync_core.demo import VOICE
from latentsync_core.media import read_waveform
from latentsync_core.models.syncnet.mel import mel_filters, syncnet_mel

EXPECTED = [-2.053, -3.498, -0.683, -1.597]  # bands 0, 20, 40 and 79 at 2.5 s
MEAN = -1.5336


def test_filters_are_slaneys_triangles():
    filters = mel_filters()
    assert filters.shape == (80, 401)
    assert filters.max().item() == pytest.approx(0.026878776, abs=1e-8)
    assert torch.all(filters.argmax(dim=1).diff() >= 0)


def test_the_demo_voice_has_the_published_spectrogram():
    mel = syncnet_mel(torch.from_numpy(read_waveform(VOICE)))
    assert mel.shape == (80, 432)
    assert [round(value, 3) for value in mel[[0, 20, 40, 79], 200].tolist()] == EXPECTED
    assert mel.mean().item() == pytest.approx(MEAN, abs=1e-3)


def test_silence_is_the_floor_and_a_tone_peaks_in_its_band():
    assert torch.all(syncnet_mel(torch.zeros(16_000)) == -4)
    seconds = torch.arange(16_000) / 16_000
    bands = [int(syncnet_mel(torch.sin(2 * math.pi * hz * seconds))[:, 40].argmax()) for hz in (200, 1000, 4000)]
    assert bands == sorted(bands) and len(set(bands)) == 3
    assert bands[1] == int(mel_filters()[:, 50].argmax())  # 1000 Hz is bin 50 of 401
