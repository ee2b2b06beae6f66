"""MuseTalk's audio: the steps of every frame as its scripts take them, the better ones at any rate, its features."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.audio import (
    AudioTokens,
    extract_features,
    feature_key,
    gather_tokens,
    keep_on_disk,
    musetalk_indices,
    musetalk_indices_at,
    silent_pieces,
    window_indices,
)
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.whisper import WhisperEncoder

RATES = [25, 24, 30, 29.97, 12]
ANY_RATE = [5, 23.976, 25, Fraction(30000, 1001), 50, 59.94, 120]


@pytest.fixture(scope="module")
def encoder(whisper, golden) -> WhisperEncoder:
    """The weights of `whisper`, giving MuseTalk's features."""
    encoder = WhisperEncoder.from_dims(golden("whisper_small.json"), generator="musetalk")
    encoder.load_state_dict(whisper.state_dict())
    return encoder


@pytest.mark.parametrize("seconds", [4.2, 33.3])
@pytest.mark.parametrize("fps", RATES)
def test_reference_steps_are_those_of_its_scripts(golden, seconds, fps):
    expected = golden("musetalk.npz")[f"steps_{seconds}_{fps}"]
    steps = musetalk_indices(int(seconds * 50), fps, len(expected), reference=True)
    assert np.array_equal(steps, expected)


def test_at_the_trained_rate_both_are_equal():
    assert torch.equal(musetalk_indices(210, 25, 120), musetalk_indices(210, 25, 120, reference=True))


@pytest.mark.parametrize("fps", ANY_RATE)
def test_at_any_rate_windows_are_centred_on_the_frames_own_time(fps):
    frames, length = int(60 * fps), 3100
    steps = musetalk_indices(length, fps, frames)
    middle = slice(int(fps), frames)  # frames whose window lies inside the voice
    assert torch.equal(steps[middle], window_indices(length, fps, frames)[middle])
    drift = steps[frames - 1, 4] / 50 - (frames - 1) / float(fps)
    assert -0.02 < drift <= 1e-6  # seconds, after a minute: within one step


def test_reference_drifts_by_four_percent_where_the_rate_is_rounded_down():
    frames = int(60 * 23.976)
    drift = musetalk_indices(4000, 23.976, frames, reference=True)[-1, 6] / 50 - (frames - 1) / 23.976
    assert 2.4 < drift < 2.6  # seconds, after a minute


@pytest.mark.parametrize("fps", [50, 59.94, 120])
def test_reference_steps_exist_at_rates_that_stop_its_scripts(fps):
    steps = musetalk_indices(500, fps, 300, reference=True)
    assert steps[0].tolist() == [-1, -1, *range(8)]


def test_a_rate_rounded_down_to_nothing_is_refused():
    with pytest.raises(LatentSyncError, match="0.5 frames per second"):
        musetalk_indices(100, 0.5, 2, reference=True)
    assert musetalk_indices(100, 0.5, 2).tolist()[1] == [*range(96, 100), *[-1] * 6]


def test_times_and_rates_agree_exactly():
    fps = Fraction(30000, 1001)
    times = [i / fps for i in range(3000)]
    assert torch.equal(musetalk_indices_at(5000, times), musetalk_indices(5000, fps, 3000))


@pytest.mark.parametrize("keep", [torch.cat, keep_on_disk])
def test_there_is_nothing_to_hear_before_the_voice_and_after_it(keep):
    features = torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(1)) + 9
    tokens = gather_tokens(keep([features]), musetalk_indices(8, 25, 4)).unflatten(1, (10, 5))
    assert not tokens[0, :4].any() and torch.equal(tokens[0, 4:], features[:6])
    assert torch.equal(tokens[3, :6], features[2:]) and not tokens[3, 6:].any()
    with_positions = AudioTokens(features, musetalk_indices(8, 25, 4), positions=True)[0:1]
    assert with_positions.unflatten(1, (10, 5))[0, :4].any()  # zeros get positions as all tokens do


def test_only_the_last_hidden_state_went_through_the_final_norm(whisper, encoder):
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, latentsync = encoder(mel), whisper(mel)
        assert torch.equal(ours[:, :, :-1], latentsync[:, :, :-1])
        assert torch.equal(ours[:, :, -1], whisper.ln_post(latentsync[:, :, -1]))


def test_a_short_voice_is_followed_by_silence(encoder, whisper, speech):
    voice = torch.from_numpy(speech(2.0))
    silence = torch.zeros(16_000 * 28)
    features = extract_features(voice, encoder)
    # apart from the last spectra, whose windows reach beyond the voice, whole blocks with silence in them are the same
    with_silence = extract_features(torch.cat([voice, silence]), encoder)[: len(features)]
    difference = (features - with_silence)[:-3].abs().max()
    unlike = (extract_features(voice, whisper) - extract_features(torch.cat([voice, silence]), whisper)[:100])[:-3]
    assert difference < 0.1 * unlike.abs().max()
    assert torch.cat(list(silent_pieces(voice, encoder))).shape == features.shape


def test_its_features_are_cached_apart(whisper, encoder):
    voice = torch.zeros(1600)
    assert feature_key(voice, encoder, "overlap") != feature_key(voice, whisper, "overlap")
