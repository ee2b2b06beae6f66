"""The shipped autoencoder and audio encoder do what their metadata records."""

import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import UNET, VAE, WHISPER
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.models.vae import load_vae
from latentsync_core.models.whisper import load_whisper
from latentsync_core.training.micro import audio_encoder, autoencoder

pytestmark = pytest.mark.long


@pytest.mark.parametrize("path", [VAE, WHISPER], ids=["vae", "whisper"])
def test_each_file_records_how_it_was_trained_and_on_what(path):
    file = read_tensors(path)
    assert "one portrait" in file.about["knows"] and file.mapping("recipe")["seed"] and file.mapping("measured")
    assert all(tensor.dtype.itemsize == 2 for tensor in file.tensors.values())


def test_the_unet_says_how_it_was_trained_and_all_three_are_small():
    file = read_tensors(UNET)
    assert "one portrait" in file.about["knows"] and file.mapping("training")["optimizer"]["steps"] > 0
    assert file.about["position_encoding"] == "on" and file.about["null"] == "learned"
    assert any("motion_modules" in name for name in file.tensors)
    assert sum(path.stat().st_size for path in (UNET, VAE, WHISPER)) < 25e6


def test_the_autoencoder_preserves_the_mouths_opening():
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    recipe = autoencoder.AutoencoderRecipe(clip_frames=32, measured_clips=1)
    numbers = autoencoder.measure(load_vae(VAE), recipe)
    # what the face mesh measures in the crops themselves is the upper bound for reconstructions
    assert numbers["correlation"] > numbers["crop_correlation"] - 0.03 and numbers["psnr"] > 25
    assert 0.85 < numbers["latent_std"] < 1.15


def test_mouths_of_held_out_voices_are_predicted_from_the_audio_features():
    recipe = audio_encoder.AudioRecipe(clip_seconds=20.0)
    try:
        numbers = audio_encoder.measure(load_whisper(WHISPER), recipe, clips=3)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    assert numbers["opening"] > 0.85 and numbers["rounding"] > 0.85
