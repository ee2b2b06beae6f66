"""LoRA files: trained on top of a checkpoint that stays as it is, and the same change wherever they are loaded."""

import copy

import pytest
import torch
from seeded import NARROW_UNET, draw, seed_weights

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import embedded_unet
from latentsync_core.models.loading import load_models
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.models.unet import (
    UNet3DConditionModel,
    UNetConfig,
    load_unet,
    merge_lora,
    save_unet,
)
from latentsync_core.training import train
from latentsync_core.training.lora import add_lora, save_lora

pytestmark = pytest.mark.long

# As wide as what the package's Whisper gives.
SMALL = {
    **NARROW_UNET,
    "cross_attention_dim": embedded_unet().config.cross_attention_dim,
}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def small_unet() -> UNet3DConditionModel:
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(SMALL)))


def predict(unet) -> torch.Tensor:
    """In float64: on pictures as small as these the network magnifies rounding, differently on every processor."""
    sample = torch.from_numpy(draw("sample", 1, 13, 2, 8, 8)).double()
    tokens = torch.from_numpy(draw("tokens", 2, 50, SMALL["cross_attention_dim"])).double()
    with torch.no_grad():
        return copy.deepcopy(unet).double()(sample, torch.tensor(300), tokens)


def trained_layers(unet, targets=("attn2.to_", "proj_in", "resnets.0.conv1")):
    """LoRA on linear and convolution layers, with an `up` as if it had been trained."""
    layers = add_lora(unet, 4, 8.0, targets, generator())
    for name, layer in layers.items():
        layer.up.data = 0.1 * torch.from_numpy(draw(name, *layer.up.shape))
    return layers


def test_a_new_lora_changes_nothing_and_freezes_the_rest():
    unet = small_unet()
    plain = predict(unet)
    layers = add_lora(unet, 4, None, ["attn2.to_"], generator())
    assert torch.allclose(predict(unet), plain, atol=1e-9)
    names = [name for name, weight in unet.named_parameters() if weight.requires_grad]
    assert len(names) == 2 * len(layers) and all(name.endswith((".up", ".down")) for name in names)
    assert {type(layer.base) for layer in layers.values()} == {torch.nn.Linear}


def test_merging_the_file_gives_the_trained_network(tmp_path):
    unet = small_unet()
    layers = trained_layers(unet)
    assert {layer.base.weight.dim() for layer in layers.values()} == {2, 4}
    save_lora(layers, tmp_path / "lora.safetensors", {"base": "small"})
    merged = small_unet()
    plain = predict(merged)
    merge_lora(merged, tmp_path / "lora.safetensors")
    assert torch.allclose(predict(merged), predict(unet), atol=1e-4)
    assert (predict(merged) - plain).abs().max() > 0.01
    assert read_tensors(tmp_path / "lora.safetensors").about["base"] == "small"


def test_training_a_lora_writes_the_lora_only(make_config, tmp_path):
    save_unet(small_unet(), tmp_path / "base.safetensors", {"resolution": "64", "position_encoding": "on"})
    model = {"checkpoint": str(tmp_path / "base.safetensors"), "unet": {}, "train": "lora", "lora_rank": 2}
    path = train(make_config(model={**model, "lora_targets": ["attn2.to_q", "attn2.to_v"]}))
    file = read_tensors(path)
    assert path.name.startswith("lora-") and path.stat().st_size < 200_000
    assert {key.rsplit(".", 2)[-2] for key in file.tensors if key.endswith("weight")} == {"lora_up", "lora_down"}
    assert any(tensor.abs().sum() > 0 for key, tensor in file.tensors.items() if "lora_up" in key)
    assert file.about["position_encoding"] == "on" and file.about["base"].endswith("base.safetensors")
    trained = load_models(tmp_path / "base.safetensors", lora=path, lora_strength=3.0, device="cpu")
    merged = load_unet(tmp_path / "base.safetensors")
    merge_lora(merged, path, 3.0)
    assert all(torch.equal(trained.unet.state_dict()[name], value) for name, value in merged.state_dict().items())
    assert trained.sources["lora"] == f"{path}, strength 3"


def test_what_cannot_be_trained_or_merged_is_refused(make_config, tmp_path):
    with pytest.raises(LatentSyncError, match="No layer's name contains attn9"):
        add_lora(small_unet(), 4, None, ["attn9"], generator())
    save_unet(small_unet(), tmp_path / "base.safetensors", {"resolution": "64", "position_encoding": "off"})
    model = {"checkpoint": str(tmp_path / "base.safetensors"), "unet": {}, "train": "lora"}
    with pytest.raises(LatentSyncError, match="set it to auto"):
        train(make_config(model=model, conditioning={"position_encoding": "on"}))
    with pytest.raises(LatentSyncError, match="holds no LoRA"):
        merge_lora(small_unet(), tmp_path / "base.safetensors")
    save_lora(trained_layers(small_unet()), tmp_path / "lora.safetensors", {})
    other = UNet3DConditionModel(UNetConfig.from_dict({**SMALL, "cross_attention_dim": 64}))
    with pytest.raises(LatentSyncError, match="does not fit this UNet"):
        merge_lora(other, tmp_path / "lora.safetensors")
