"""Between sentences the features are those of digital silence, and an offset delays them by milliseconds."""

import numpy as np
import pytest
import torch

from latentsync_core.audio import (
    check_offset,
    check_silence,
    delay_features,
    extract_features,
    frame_tokens,
    join_pieces,
    put_to_rest,
    silent_pieces,
)
from latentsync_core.errors import LatentSyncError


@pytest.mark.parametrize(("seconds", "joins"), [(7.3, "overlap"), (41.3, "overlap"), (41.3, "reference")])
def test_silence_is_what_digital_silence_in_the_same_recording_gives(whisper, speech, seconds, joins):
    voice = speech(seconds)
    voice[-32000:] = 0
    heard, silent = extract_features(voice, whisper, joins), join_pieces(silent_pieces(voice, whisper, joins))
    assert silent.shape == heard.shape
    inside = slice(-90, -10)  # the first layer is local: far enough from the voice it hears nothing of it
    assert torch.allclose(heard[inside, 0], silent[inside, 0], atol=1e-5)
    assert not torch.allclose(heard[:80, 0], silent[:80, 0], atol=0.1)


def test_rest_fades_to_silence_and_leaves_speech_bit_for_bit():
    voice = torch.randn(100, 5, 8, generator=torch.Generator().manual_seed(1))
    silence = torch.randn(100, 5, 8, generator=torch.Generator().manual_seed(2))
    gate = np.ones(100, np.float32)
    gate[40:60], gate[39], gate[60] = 0, 0.5, 0.5
    rested = put_to_rest(voice, lambda: silence.split(33), gate)
    assert torch.equal(rested[:39], voice[:39]) and torch.equal(rested[61:], voice[61:])
    assert torch.equal(rested[40:60], silence[40:60])
    assert torch.allclose(rested[39], (voice[39] + silence[39]) / 2, atol=1e-6)
    assert put_to_rest(voice, lambda: pytest.fail("nothing is silent"), np.ones(100)) is voice


@pytest.mark.parametrize("frames", [1, 3, -2])
def test_an_offset_of_whole_frames_gives_each_frame_its_neighbours_tokens(frames):
    features = torch.randn(200, 2, 4, generator=torch.Generator().manual_seed(1))
    now, moved = frame_tokens(features, 25, 90), frame_tokens(delay_features(features, 40 * frames), 25, 90)
    inside = slice(10, 80)
    assert torch.equal(moved[inside], torch.roll(now, frames, dims=0)[inside])


@pytest.mark.parametrize("offset", [0, 20, -60, 7, -13.5])
def test_delayed_features_stand_where_the_offset_puts_them(offset):
    ramp = torch.arange(100.0)[:, None, None] * 20  # the value is the instant in ms
    delayed = delay_features(ramp, offset)
    assert torch.allclose(delayed[10:90, 0, 0], ramp[10:90, 0, 0] - offset, atol=1e-3)
    assert delayed[0] >= 0 and delayed[-1] == ramp[-1]
    assert offset or delayed is ramp


def test_impossible_wishes_are_refused():
    for offset in (1000.5, -3000, float("nan")):
        with pytest.raises(LatentSyncError, match="-1000 to 1000 is possible"):
            check_offset(offset)
    with pytest.raises(LatentSyncError, match="'mute' is unknown; choose one of off, rest, keep"):
        check_silence("mute", "mouth")
    with pytest.raises(LatentSyncError, match="reference blend cannot"):
        check_silence("keep", "reference")
    check_silence("rest", "reference")
