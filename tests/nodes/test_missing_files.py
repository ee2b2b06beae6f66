"""A loader whose file is not there says so when queued, and how to get it; what is there passes, and so does a link."""

import pytest

LOADERS = {
    "LatentSyncLoadModel": "latentsync_unet_1.6.pt",
    "LatentSyncLoadMuseTalkModel": "musetalk_1.5.pth",
    "LatentSyncLoadWhisper": "whisper_tiny.pt",
    "LatentSyncLoadVAE": "sd-vae-ft-mse.safetensors",
}


@pytest.mark.parametrize(("node", "name"), LOADERS.items())
def test_a_missing_file_is_told_with_the_button_that_gets_it(node_classes, node, name):
    said = node_classes[node].validate_inputs(name)
    assert name in said and "press Get models on this node" in said
    assert node_classes[node].validate_inputs("embedded (one portrait)") is True
    assert node_classes[node].validate_inputs(None) is True


def test_a_file_in_the_folder_passes(node_classes, pack):
    from pathlib import Path

    import folder_paths

    path = Path(folder_paths.get_folder_paths("latentsync")[0]) / "mine.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert node_classes["LatentSyncLoadModel"].validate_inputs(path.name) is True
    path.unlink()
    assert "mine.safetensors" in node_classes["LatentSyncLoadModel"].validate_inputs(path.name)
