"""The autoencoder behind its protocol: same numbers whatever the slicing, every published naming, NaN repaired once."""

import copy
import logging

import pytest
import torch
from safetensors.torch import save_file
from seeded import seed_weights

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.autoencoder import AutoencoderConfig, AutoencoderKL
from latentsync_core.models.embedded import embedded_models
from latentsync_core.models.vae import (
    OLD_ATTENTION_NAMES,
    SD_SHAPE,
    AutoencoderCodec,
    load_vae,
)

NARROW = {**SD_SHAPE, "block_out_channels": (32, 32, 32, 32), "layers_per_block": 2}


@pytest.fixture(scope="module")
def codec() -> AutoencoderCodec:
    return embedded_models()[1]


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_moments_and_pixels_are_the_autoencoders_scaled(codec, pixels):
    autoencoder = codec.autoencoder
    with torch.inference_mode():
        posterior = autoencoder.encode(pixels)
        decoded = autoencoder.decode(posterior.mean).clamp(-1, 1)
    moments = codec.encode(pixels)
    torch.testing.assert_close(moments.mean, posterior.mean * 0.18215, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moments.std, posterior.std * 0.18215, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(codec.decode(moments.mean), decoded, rtol=1e-3, atol=1e-3)


def test_slicing_changes_nothing(codec, pixels):
    exact = copy.deepcopy(codec.autoencoder).double()
    whole = AutoencoderCodec(exact, slice_frames=5).encode(pixels.double())
    single = AutoencoderCodec(exact, slice_frames=1).encode(pixels.double())
    # Equal but for the last digit of the float32 numbers that it hands out.
    torch.testing.assert_close(whole.mean, single.mean, rtol=2 * torch.finfo(torch.float32).eps, atol=1e-9)


def test_posterior_noise_depends_on_the_generator_alone(codec, pixels):
    moments = codec.encode(pixels)
    first = moments.sample(torch.Generator().manual_seed(1))
    assert torch.equal(first, moments.sample(torch.Generator().manual_seed(1)))
    assert not torch.equal(first, moments.sample(torch.Generator().manual_seed(2)))


@pytest.mark.long
def test_nan_in_half_precision_moves_to_float32_once(pixels, caplog):
    autoencoder = seed_weights(AutoencoderKL(AutoencoderConfig.from_dict(NARROW))).half()
    with torch.no_grad():
        autoencoder.encoder.conv_in.bias += 6e4
        autoencoder.encoder.down_blocks[0].resnets[0].conv2.bias += 6e4  # their sum leaves float16, not float32
    codec = AutoencoderCodec(autoencoder)
    with caplog.at_level(logging.WARNING):
        moments = codec.encode(pixels)
    assert torch.isfinite(moments.mean).all()
    assert caplog.text.count("runs in float32") == 1
    assert autoencoder.dtype == torch.float32


def published_names(state: dict, naming: str) -> dict:
    """The tensors as today's diffusers names them, or as sd-vae-ft-mse was published."""
    if naming == "today":
        return state
    new_to_old = {new: old for old, new in OLD_ATTENTION_NAMES.items()}
    renamed = {}
    for name, tensor in state.items():
        for new, old in new_to_old.items():
            name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("naming", ["today", "as published"])
def test_both_diffusers_namings_load(tmp_path, naming):
    import json

    original = seed_weights(AutoencoderKL(AutoencoderConfig.from_dict(NARROW)))
    tensors = published_names(dict(original.state_dict()), naming)
    assert any(".query." in name for name in tensors) == (naming == "as published")
    path = tmp_path / "vae.safetensors"
    save_file(tensors, path, {"latentsync.config": json.dumps({"block_out_channels": [32, 32, 32, 32]})})
    loaded = load_vae(path)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, original.state_dict()[name]), name


def test_something_else_is_no_vae(tmp_path):
    save_file({"conv_in.weight": torch.zeros(3)}, tmp_path / "unet.safetensors")
    with pytest.raises(LatentSyncError, match="unet.safetensors is no Stable Diffusion 1.5 VAE"):
        load_vae(tmp_path / "unet.safetensors")
