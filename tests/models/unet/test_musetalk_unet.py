"""Without motion modules and with eight input channels the UNet is MuseTalk's, by name, shape and value."""

import pytest
import torch
from rounding import relative_error
from seeded import NARROW_UNET, draw, seed_weights

from latentsync_core.audio import encode_positions
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.loading import load_models
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig, load_unet, save_unet

PUBLISHED = {"block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 384}


@pytest.fixture(scope="module")
def small(golden) -> dict:
    """Its narrow configuration, with the names of diffusers."""
    return golden("musetalk_small.json")


def test_full_size_model_has_exactly_the_published_tensors(small, golden):
    with torch.device("meta"):
        model = UNet3DConditionModel(UNetConfig.from_dict({**small, **PUBLISHED}))
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == golden("musetalk_unet_keys.json")


def test_its_configuration_survives_being_stored(small):
    config = UNetConfig.from_dict(small)
    assert config.generator == "musetalk" and UNetConfig().generator == "latentsync"
    assert UNetConfig.from_dict(config.to_dict()) == config


@torch.no_grad()
@pytest.mark.parametrize(("positions", "name"), [("on", "predicted"), ("off", "predicted_without_positions")])
def test_one_step_equals_the_reference(small, golden, positions, name):
    model = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(small))).double()
    latents = torch.from_numpy(draw("musetalk.latents", 6, 8, 8, 8)).double()
    tokens = encode_positions(torch.from_numpy(draw("musetalk.audio", 6, 50, 48)), positions).double()
    found = model(latents[:, :, None], 0, tokens)[:, :, 0]  # each picture a clip of one frame
    assert relative_error(found, golden("musetalk.npz")[name]) < 1e-5  # recorded in float32


@pytest.fixture(scope="module")
def published(small, tmp_path_factory) -> dict:
    """Bare state dicts under the names of both releases, and one of ours with its configuration."""
    folder = tmp_path_factory.mktemp("musetalk")
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(small)))
    files = {name: folder / name for name in ("pytorch_model.bin", "unet.pth", "micro.safetensors")}
    torch.save(unet.state_dict(), files["pytorch_model.bin"])
    torch.save(unet.state_dict(), files["unet.pth"])
    save_unet(unet, files["micro.safetensors"])
    return {"unet": unet, "files": files}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "unet.pth", "micro.safetensors"])
def test_its_files_load_as_the_network_they_were(published, name):
    loaded, saved = load_unet(published["files"][name], generator="musetalk"), published["unet"]
    assert loaded.config.generator == "musetalk" and loaded.config.cross_attention_dim == 48
    tensors = saved.state_dict()
    for tensor_name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, tensors[tensor_name]), tensor_name


def test_each_generator_names_the_others_file_and_what_runs_it(published, small, tmp_path):
    file = published["files"]["unet.pth"]
    with pytest.raises(LatentSyncError, match=r"unet.pth is a MuseTalk UNet .* --generator musetalk"):
        load_unet(file, generator="latentsync")
    with pytest.raises(LatentSyncError, match=r"--generator musetalk"):
        load_models(file)
    torch.save(UNet3DConditionModel(UNetConfig.from_dict(NARROW_UNET)).state_dict(), tmp_path / "ls.pt")
    with pytest.raises(LatentSyncError, match=r"ls.pt is a LatentSync UNet .* a MuseTalk UNet is needed"):
        load_unet(tmp_path / "ls.pt", generator="musetalk")


def test_an_eight_channel_network_that_attends_to_text_is_no_generator(small, tmp_path):
    with torch.device("meta"):
        shapes = UNet3DConditionModel(UNetConfig.from_dict({**small, "cross_attention_dim": 768})).state_dict()
    torch.save({name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}, tmp_path / "edit.pt")
    with pytest.raises(LatentSyncError, match="is a Stable Diffusion UNet"):
        load_unet(tmp_path / "edit.pt")
