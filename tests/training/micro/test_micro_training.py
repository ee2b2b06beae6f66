"""The two small trainers: their files load like any model, and do what the recipe says."""

import json

import numpy as np
import pytest
import torch

from latentsync_core.audio import extract_features
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.autoencoder import AutoencoderConfig, AutoencoderKL
from latentsync_core.models.vae import LATENT_SCALE, AutoencoderCodec, load_vae
from latentsync_core.models.whisper import WhisperEncoder, load_whisper
from latentsync_core.training.micro.audio_encoder import (
    DIMS,
    AudioRecipe,
    augmented,
    hidden_states,
    speech_clips,
    train_audio_encoder,
)
from latentsync_core.training.micro.autoencoder import (
    SHAPE,
    AutoencoderRecipe,
    learn_decoder,
    standardise_latents,
    train_autoencoder,
)

pytestmark = pytest.mark.long

TINY_VAE = AutoencoderRecipe(clips=1, clip_frames=8, steps=2, decoder_steps=1, whole=2, masked=1, measured_clips=1)
TINY_AUDIO = AudioRecipe(clips=1, clip_seconds=4.0, block_seconds=2.0, steps=2, batch=2, long_steps=0)


@pytest.fixture(scope="module")
def voices():
    try:
        return speech_clips(TINY_AUDIO, 1, seed=1)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return AutoencoderKL(AutoencoderConfig.from_dict(SHAPE)).eval().requires_grad_(False)


def faces(count: int) -> np.ndarray:
    ramp = np.linspace(0, 255, 128)
    picture = np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], 0 * ramp + 90 * np.ones((128, 1))], -1)
    return np.stack([np.roll(picture, 9 * i, axis=0) for i in range(count)]).astype(np.uint8)


def test_a_trained_autoencoder_loads_as_a_vae(tmp_path):
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    numbers = train_autoencoder(tmp_path / "vae.safetensors", TINY_VAE)
    pixels = torch.zeros(1, 3, 128, 128)
    codec = AutoencoderCodec(load_vae(tmp_path / "vae.safetensors"))
    assert codec.decode(codec.encode(pixels).mean).shape == pixels.shape
    about = json.loads((tmp_path / "vae.json").read_text())
    assert (
        about["measured"] == numbers and about["recipe"]["seed"] == TINY_VAE.seed and "one portrait" in about["knows"]
    )
    assert [entry["step"] for entry in about["history"]] == [0, 2]


def test_standardised_latents_show_the_same_pictures(network):
    crops = faces(4)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    before = network.decode(network.encode(pixels).mean)
    old_std = network.encode(pixels).std / network.encode(pixels).mean.std((0, 2, 3))[:, None, None]
    standardise_latents(network, crops)
    posterior = network.encode(pixels)
    torch.testing.assert_close(network.decode(posterior.mean), before, atol=2e-3, rtol=0)
    scaled = posterior.mean * LATENT_SCALE
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(posterior.std * LATENT_SCALE, old_std, atol=1e-3, rtol=1e-3)


def test_training_the_decoder_alone_does_not_change_the_latents(network):
    network.requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    learn_decoder(network, faces(3), TINY_VAE, lambda step, error: None)
    changed = {
        name.split(".")[0] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"decoder", "post_quant_conv"}


def test_a_trained_audio_encoder_loads_as_whisper(voices, tmp_path):
    numbers = train_audio_encoder(tmp_path / "whisper.safetensors", TINY_AUDIO)
    features = extract_features(torch.zeros(16_000), load_whisper(tmp_path / "whisper.safetensors"))
    assert features.shape == (50, DIMS["n_audio_layer"] + 1, DIMS["n_audio_state"])
    assert set(numbers) == {"opening", "width", "rounding", "feature_std"}


def test_short_blocks_are_whispers_own_forward():
    encoder = WhisperEncoder.from_dims({**DIMS, "n_audio_ctx": 40})
    mel = torch.randn(2, 80, 80)
    torch.testing.assert_close(hidden_states(encoder, mel, 0), encoder(mel))


def test_augmentation_keeps_sound_and_mouth_in_sync(voices):
    """Where an augmented voice falls silent, its mouth is closed."""
    for seed in range(4):
        mel, mouth, labels = augmented(voices[0], 100, np.random.default_rng(seed))
        assert mel.shape == (80, 200) and mouth.shape == (100, 3) and labels.shape == (100,)
        loudness = mel.mean(0).reshape(100, 2).mean(1)
        assert np.corrcoef(loudness, mouth[:, 0])[0, 1] > 0.35
