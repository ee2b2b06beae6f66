"""SyncNet v2 equals the published checkpoint by name and shape, and the reference network in value."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from seeded import draw, seed_weights

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.syncnet import SyncNetV2, SyncNetV2Config, load_sync_net_v2

NARROW = SyncNetV2Config(voice=(4, 4, 4, 4, 4, 8), lips=(4, 4, 4, 4, 4, 8), hidden=8, embedding=6)
TOLERANCE = 1e-3  # of the recorded tensors, tests/golden/README.md


def seeded_network(config: SyncNetV2Config | None = None) -> SyncNetV2:
    network = seed_weights(SyncNetV2(config) if config else SyncNetV2())
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):  # a variance is positive
            tensor.copy_(torch.from_numpy(1 + np.float32(0.1) * np.abs(draw(name, *tensor.shape))))
    return network


def test_full_size_network_has_exactly_the_published_tensors(golden):
    with torch.device("meta"):
        network = SyncNetV2()
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == golden("syncnet_v2_keys.json")
    assert sum(parameter.numel() for parameter in network.parameters()) == 13_631_616


@torch.no_grad()
def test_embeddings_equal_the_reference(golden):
    network, expected = seeded_network(), golden("syncnet_v2.npz")
    frames = torch.from_numpy(draw("syncnet_v2.frames", 2, 3, 5, 224, 224) * 60 + 128).clamp(0, 255)
    steps = torch.from_numpy(expected["mfcc"])
    voice = network.voice(torch.stack([steps[None, :, 0:20], steps[None, :, 40:60]]))
    assert np.abs(network.lips(frames).numpy() - expected["lip"]).max() < TOLERANCE
    assert np.abs(voice.numpy() - expected["voice"]).max() < TOLERANCE


@torch.no_grad()
def test_pictures_are_taken_as_they_are_read():
    network = seeded_network(NARROW)
    frames = torch.arange(3 * 5 * 224 * 224).remainder(251).reshape(1, 3, 5, 224, 224)
    assert torch.equal(network.lips(frames.byte()), network.lips(frames.float()))
    assert network.voice(torch.zeros(2, 1, 13, 20).double()).dtype == torch.float32


def test_the_published_layout_loads_without_its_counters(tmp_path):
    network = seeded_network()
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "syncnet_v2.model", _use_new_zipfile_serialization=False)
    loaded = load_sync_net_v2(tmp_path / "syncnet_v2.model")
    assert not loaded.training and all(torch.equal(t, loaded.state_dict()[name]) for name, t in state.items())
    voice = torch.from_numpy(draw("voice", 1, 1, 13, 20))
    assert torch.equal(loaded.voice(voice), network.voice(voice))


def test_a_narrower_file_brings_its_config(tmp_path):
    network = seeded_network(NARROW)
    config = {"latentsync.config": json.dumps(dataclasses.asdict(NARROW))}
    save_file({name: t.half() for name, t in network.state_dict().items()}, tmp_path / "narrow.safetensors", config)
    loaded = load_sync_net_v2(tmp_path / "narrow.safetensors")
    assert loaded.config == NARROW and {t.dtype for t in loaded.parameters()} == {torch.float32}


def test_other_files_are_refused(tmp_path):
    save_file({"conv_in.weight": torch.zeros(3)}, tmp_path / "unet.safetensors")
    with pytest.raises(LatentSyncError, match="unet.safetensors is no SyncNet v2: 88 of 88 .* syncnet_v2.model"):
        load_sync_net_v2(tmp_path / "unet.safetensors")
    short = {"latentsync.config": json.dumps({**dataclasses.asdict(NARROW), "lips": [4, 4]})}
    save_file({"netfclip.0.bias": torch.zeros(8)}, tmp_path / "short.safetensors", short)
    with pytest.raises(LatentSyncError, match="2 for the lips; 6 each are needed"):
        load_sync_net_v2(tmp_path / "short.safetensors")
