"""The right networks come together, or a sentence says which file is missing or unfit."""

import logging

import pytest
import torch

from latentsync_core.diffusion.conditioning import TrainedConditioning
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import embedded_models
from latentsync_core.models.loading import (
    Models,
    choose_device,
    choose_dtype,
    load_models,
)
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig, save_unet


@pytest.fixture(scope="module")
def narrow_unet(tmp_path_factory):
    path = tmp_path_factory.mktemp("unet") / "narrow.safetensors"
    save_unet(embedded_models()[0], path, {"resolution": "128", "position_encoding": "on"})
    return path


def test_without_any_checkpoint_the_embedded_model_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        models = load_models(directory=tmp_path, device="cpu")
    assert "No LatentSync checkpoint" in caplog.text and "download" in caplog.text
    assert "one portrait" in models.sources["unet"]
    assert models.resolution == 128 and models.working_resolution(None) == 128


def test_a_narrow_checkpoint_goes_with_the_embedded_vae_and_whisper(narrow_unet, tmp_path):
    models = load_models(narrow_unet, directory=tmp_path, device="cpu")
    assert models.sources["unet"] == narrow_unet
    assert models.whisper.width == models.unet.config.cross_attention_dim
    assert TrainedConditioning.of_models(models).positions and models.resolution == 128


@pytest.mark.long
def test_a_full_checkpoint_asks_for_its_vae(tmp_path):
    config = UNetConfig(block_out_channels=(320, 320, 320, 320), layers_per_block=1, add_audio_layer=True)
    with torch.device("meta"):
        unet = UNet3DConditionModel(config)
    unet = unet.to_empty(device="cpu").half()
    save_unet(unet, tmp_path / "wide.safetensors")
    with pytest.raises(LatentSyncError, match=r"sd-vae-ft-mse.safetensors \(335 MB, .*huggingface.co.*vae"):
        load_models(tmp_path / "wide.safetensors", directory=tmp_path, device="cpu")


def test_whisper_of_another_width_is_refused(narrow_unet, tmp_path):
    from latentsync_core.models.whisper import WhisperEncoder

    encoder = WhisperEncoder(80, 1500, 64, 1, 2)
    torch.save({"model_state_dict": {f"encoder.{k}": v for k, v in encoder.state_dict().items()}}, tmp_path / "w.pt")
    with pytest.raises(LatentSyncError, match="w.pt gives features 64 wide, .*narrow.safetensors was trained on"):
        load_models(narrow_unet, whisper=tmp_path / "w.pt", device="cpu")


@pytest.mark.parametrize(("name", "native"), [("latentsync_unet_1.5", 256), ("latentsync_unet_1.6", 512)])
def test_the_wrong_resolution_is_warned_about_by_name(tmp_path, caplog, name, native):
    path = tmp_path / f"{name}.safetensors"
    save_unet(embedded_models()[0], path)
    models = load_models(path, directory=tmp_path, device="cpu")
    assert models.working_resolution(None) == native
    assert not caplog.text
    other = 768 - native
    with caplog.at_level(logging.WARNING):
        assert models.working_resolution(other) == other
    assert f"trained at {native} px" in caplog.text and f"use {native}" in caplog.text


def test_an_unknown_resolution_is_said(caplog):
    unet, codec, whisper = embedded_models()
    with caplog.at_level(logging.WARNING):
        assert Models(unet, codec, whisper).working_resolution(None) == 256
    assert "pass 512 for LatentSync 1.6" in caplog.text


def test_devices_and_precisions():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(LatentSyncError, match="toaster"):
        choose_device("toaster")
    assert choose_dtype("auto", torch.device("cuda")) == torch.float16
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("bf16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(LatentSyncError, match="fp8"):
        choose_dtype("fp8", torch.device("cpu"))
