"""StableSyncNet equals the published checkpoint by name and shape, and the reference network in value."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from seeded import draw, seed_weights

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.syncnet import StableSyncNet, load_syncnet


@pytest.fixture(scope="module")
def small(golden):
    return seed_weights(StableSyncNet(golden("syncnet_small.json")))


def test_full_size_model_has_exactly_the_published_tensors(golden):
    with torch.device("meta"):
        model = StableSyncNet()
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == golden("stable_syncnet_keys.json")


@torch.no_grad()
def test_embeddings_equal_the_reference(small, golden):
    video = torch.from_numpy(draw("syncnet.video", 2, 48, 128, 256)).double()
    exact = copy.deepcopy(small).double()  # what is recorded is float32
    vision, audio = exact(video, torch.from_numpy(draw("syncnet.mel", 2, 1, 80, 52)).double())
    expected = golden("syncnet.npz")
    assert np.abs(vision.numpy() - expected["vision"]).max() < 1e-4
    assert np.abs(audio.numpy() - expected["audio"]).max() < 1e-4
    assert torch.allclose(vision.norm(dim=1), torch.ones(2).double()) and (vision * audio).sum(1).min() >= 0


def test_files_load_and_others_are_refused(small, golden, tmp_path):
    config = {"latentsync.config": json.dumps(golden("syncnet_small.json"))}
    save_file(small.state_dict(), tmp_path / "small.safetensors", config)
    loaded = load_syncnet(tmp_path / "small.safetensors")
    assert all(torch.equal(tensor, small.state_dict()[name]) for name, tensor in loaded.state_dict().items())
    save_file({"conv_in.weight": torch.zeros(3)}, tmp_path / "unet.safetensors")
    with pytest.raises(LatentSyncError, match="unet.safetensors is no StableSyncNet"):
        load_syncnet(tmp_path / "unet.safetensors")
