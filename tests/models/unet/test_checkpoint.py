"""Every published layout loads; everything else is refused in a sentence a user can act on."""

import pytest
import torch
from safetensors.torch import save_file
from seeded import seed_weights

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.unet import (
    UNet3DConditionModel,
    UNetConfig,
    load_unet,
    save_unet,
)


@pytest.fixture(scope="module")
def small_unet(golden):
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(golden("unet_small.json"))))


@pytest.fixture
def state_dict(small_unet):
    return dict(small_unet.state_dict())


@pytest.mark.parametrize("layout", ["published.pt", "bare.pt", "bare.safetensors", "ours.safetensors"])
def test_every_layout_loads_to_the_same_network(tmp_path, small_unet, state_dict, layout):
    path = tmp_path / layout
    if layout == "published.pt":
        torch.save({"global_step": 7, "state_dict": state_dict}, path)
    elif layout == "bare.pt":
        torch.save(state_dict, path)
    elif layout == "bare.safetensors":
        save_file(state_dict, path)
    else:
        save_unet(small_unet, path, {"position_encoding": "on"})
    model = load_unet(path)
    assert model.config.block_out_channels == (32, 64, 64, 64) and model.config.cross_attention_dim == 48
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state_dict[name]), name
    assert model.metadata.get("position_encoding") == ("on" if layout == "ours.safetensors" else None)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_old_pickle_without_zip_loads(tmp_path, state_dict):
    torch.save(state_dict, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_unet(tmp_path / "old.pt").config.layers_per_block == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dtype_is_applied_but_position_tables_stay_exact(tmp_path, small_unet, dtype):
    save_unet(small_unet, tmp_path / "unet.safetensors")
    model = load_unet(tmp_path / "unet.safetensors", dtype=dtype)
    assert model.dtype == dtype
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert {b.dtype for b in model.buffers()} == {torch.float32}


def refusal(path) -> str:
    with pytest.raises(LatentSyncError) as caught:
        load_unet(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message
    return message


FOREIGN = {
    "a Stable Diffusion UNet": {"conv_in.weight": torch.zeros(320, 4, 3, 3)},
    "an original-format Stable Diffusion UNet": {"input_blocks.0.0.weight": torch.zeros(320, 4, 3, 3)},
    "a full Stable Diffusion checkpoint": {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)},
    "a VAE": {"encoder.conv_in.weight": torch.zeros(128, 3, 3, 3), "quant_conv.weight": torch.zeros(8, 8, 1, 1)},
    "a LoRA": {"lora_unet_down_blocks_0_attentions_0.lora_up.weight": torch.zeros(4, 4)},
    "a Whisper model": {"encoder.positional_embedding": torch.zeros(1500, 384)},
    "a SyncNet": {"audio_encoder.net.0.weight": torch.zeros(1)},
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_other_models_are_named(tmp_path, kind, suffix):
    path = tmp_path / f"model{suffix}"
    torch.save(FOREIGN[kind], path) if suffix == ".pt" else save_file(FOREIGN[kind], path)
    message = refusal(path)
    assert kind in message and "LatentSync UNet" in message and "MuseTalk UNet" in message


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".ckpt"])
@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x00" * 4000])
def test_files_that_are_no_models_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert "not a readable model file" in refusal(path)


def test_truncated_download_is_refused(tmp_path, state_dict):
    for name, save in (("a.pt", torch.save), ("a.safetensors", save_file)):
        save(state_dict, tmp_path / name)
        path = tmp_path / f"cut-{name}"
        path.write_bytes((tmp_path / name).read_bytes()[:-5000])
        assert "damaged, incomplete" in refusal(path)


def test_a_pickle_with_code_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"state_dict": Payload()}, tmp_path / "evil.pt")
    refusal(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()


def test_missing_folder_and_absent_files_are_named(tmp_path):
    assert "does not exist" in refusal(tmp_path / "no.pt")
    (tmp_path / "folder.pt").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.pt")


def test_misfits_are_counted_and_the_first_three_named(tmp_path, state_dict):
    names = [name for name in state_dict if name.startswith("up_blocks.1.")]
    for name in names[:4]:
        del state_dict[name]
    state_dict["surplus.weight"] = torch.zeros(3)
    state_dict["conv_in.weight"] = torch.zeros(32, 9, 3, 3)
    torch.save(state_dict, tmp_path / "bent.pt")
    message = refusal(tmp_path / "bent.pt")
    assert "4 missing" in message and all(name in message for name in names[:3]) and names[3] not in message
    assert "1 unexpected (surplus.weight)" in message
    assert "1 mis-shaped (conv_in.weight (32, 9, 3, 3) instead of (32, 13, 3, 3))" in message
