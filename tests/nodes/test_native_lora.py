"""A LoRA file of our trainer, through ComfyUI's stock LoRA loader on our MODEL, is the network that was trained."""

import copy
import importlib
import logging

import pytest
import torch

RANK, ALPHA = 4, 8.0
TARGETS = (
    "attn1.to_",
    "attn2.to_",
    "ff.net.",
    "proj_in",
    "resnets.0.conv1",
    "motion_modules.0.temporal_transformer.proj",
)


@pytest.fixture(scope="module")
def core(pack):
    """``core("training.lora")``: a module of the pack's own library."""
    return lambda name: importlib.import_module(f"{pack.__name__}.latentsync_core.{name}")


@pytest.fixture(scope="module")
def trained(core, narrow, tmp_path_factory):
    """A UNet with LoRA layers as if trained, and the file they were saved to."""
    lora, draw = core("training.lora"), importlib.import_module("seeded").draw
    unet = narrow.unet()
    layers = lora.add_lora(unet, RANK, ALPHA, TARGETS, torch.Generator().manual_seed(0))
    for name, layer in layers.items():
        layer.up.data = 0.05 * torch.from_numpy(draw(name, *layer.up.shape))
    path = tmp_path_factory.mktemp("loras") / "voice.safetensors"
    lora.save_lora(layers, path, {"base": "narrow"})
    return unet, layers, path


def test_the_stock_loader_applies_every_layer_of_the_file(pack, core, narrow, trained, caplog):
    import folder_paths

    from nodes import LoraLoaderModelOnly

    unet, layers, path = trained
    folder_paths.add_model_folder_path("loras", str(path.parent))
    native = importlib.import_module(f"{pack.__name__}.nodes.host.native_model")
    model = native.native_model(narrow.checkpoint(), torch.float32, "shared")
    with caplog.at_level(logging.WARNING):
        patched, *_ = LoraLoaderModelOnly().load_lora_model_only(model, path.name, 1.0)
    assert "not loaded" not in caplog.text
    assert len(patched.patches) == len(layers)
    patched.patch_model(device_to=torch.device("cpu"))
    draw = importlib.import_module("seeded").draw
    sample, tokens = (torch.from_numpy(draw(*what)).double() for what in (("x", 1, 13, 4, 8, 8), ("voice", 4, 50, 48)))
    inputs = sample, torch.tensor([300.0], dtype=torch.float64)
    # In float64: this network magnifies some inputs' rounding a thousandfold; that of the weights is left.
    native_unet = copy.deepcopy(patched.model.diffusion_model).double()
    patched.detach()
    with torch.no_grad():
        found = native_unet(*inputs, context=tokens)
        expected = copy.deepcopy(unet).double()(*inputs, tokens)
        plain = narrow.unet().double()(*inputs, tokens)
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    assert float((plain - expected).norm() / expected.norm()) > 1e-2
