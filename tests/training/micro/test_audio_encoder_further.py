"""The encoder's further training: voices with timed phones become clips, and what is written loads as an encoder."""

import json

import numpy as np
import pytest
import torch

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import WHISPER
from latentsync_core.models.whisper import load_whisper
from latentsync_core.training.micro.audio_encoder import SpeechClip
from latentsync_core.training.micro.audio_encoder_further import (
    LABIAL,
    Copy,
    FurtherRecipe,
    at_speed,
    recorded_clips,
    train_further,
    with_principal_components,
)
from latentsync_core.training.synthetic.clips import write_wave

RATE = 16_000
TINY = FurtherRecipe(clips=1, copies=2, block_seconds=1.0, steps=2, batch=2, long_steps=0)


@pytest.fixture
def folder(tmp_path):
    """One voice of two seconds: half a second of silence, a vowel, a P, a vowel."""
    voices = tmp_path / "voices"
    voices.mkdir()
    t = np.arange(2 * RATE) / RATE
    sounding = (t > 0.5) & ~((t > 1.2) & (t < 1.4))
    write_wave((0.5 * np.sin(2 * np.pi * 140 * t) * sounding).astype(np.float32), voices / "a.wav")
    (voices / "a.lab").write_text("0 0.5 sil\n0.5 1.2 AA\n1.2 1.4 P\n1.4 2.0 AA\n")
    return voices


def test_a_recording_with_timed_phones_opens_and_shuts_the_mouth_and_is_filled_with_rest(folder):
    (clip,) = recorded_clips(folder, 3.0)
    opening = clip.mouth[:, 0]
    assert opening.shape == (150,) and len(clip.waveform) == 2 * RATE
    assert opening[45] > 0.8 and opening[65] < 0.05 and opening[85] > 0.8 and not opening[110:].any()
    assert (clip.labels[61:69] == LABIAL).all() and not clip.labels[:24].any()


def test_played_twice_as_fast_everything_comes_at_half_the_time():
    ramp = np.arange(100, dtype=np.float32) / 100
    clip = SpeechClip(np.repeat(ramp, 320), np.stack([ramp] * 3, 1), np.arange(100) % 8)
    waveform, mouth, labels = at_speed(clip, 2.0)
    assert waveform.shape == clip.waveform.shape and np.allclose(waveform[320 * 20], 0.4, atol=0.01)
    assert np.allclose(mouth[:50, 0], 2 * ramp[:50], atol=1e-6) and not mouth[51:].any()
    assert np.array_equal(labels[:50], clip.labels[::2]) and not labels[51:].any()
    same = at_speed(clip, 1.0)
    assert np.allclose(same[0], clip.waveform) and np.array_equal(same[2], clip.labels)


def test_what_is_taught_keeps_its_strongest_directions_at_variance_one():
    torch.manual_seed(0)
    states = torch.randn(500, 3) @ torch.diag(torch.tensor([9.0, 3.0, 0.01])) + 5
    blank = torch.zeros(0)
    plain, taught = with_principal_components([Copy(blank, blank, blank), Copy(blank, blank, blank, None, states)], 2)
    assert plain.taught is None and taught.taught.shape == (500, 2)
    spread = taught.taught.std(dim=0)
    assert spread.square().mean().item() == pytest.approx(1, rel=0.3) and spread[0] > 2 * spread[1]


def test_a_teacher_without_voices_is_refused(tmp_path):
    with pytest.raises(LatentSyncError, match="name both, or leave it out"):
        train_further(tmp_path / "further.safetensors", TINY, None, tmp_path / "teacher.whl")


@pytest.mark.long
def test_a_further_trained_encoder_loads_and_says_what_it_was_made_of(folder, tmp_path):
    path = tmp_path / "further.safetensors"
    try:
        numbers = train_further(path, TINY, folder, None, measured_clips=1)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    before, after = load_whisper(WHISPER), load_whisper(path)
    assert after.width == before.width and after.layers == before.layers
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["measured"] == numbers and numbers["opening"] > 0.5
    assert (about["teacher"], about["voices"]) == ("none", "espeak-ng and 1 of a folder")
    assert about["recipe"]["steps"] == 2 and about["started_from"]["seed"] and len(about["history"]) == 2
