"""A loader whose file is not there says so when queued, and how to get it; what is there passes, and so does a link."""

import importlib
import sys
from pathlib import Path

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


@pytest.fixture
def places(monkeypatch, tmp_path):
    """Folders of the host that this test has to itself: kind -> list of folders."""
    import folder_paths

    kinds = {}
    for kind in ("latentsync", "diffusion_models", "audio_encoders", "vae"):
        kinds[kind] = [str(tmp_path / kind)]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, (kinds[kind], {".pt", ".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return kinds


@pytest.fixture
def published(pack):
    return importlib.import_module(f"{pack.__name__}.nodes.host.published_files")


def test_a_file_in_the_folder_passes(node_classes, places):
    path = Path(places["latentsync"][0]) / "mine.safetensors"
    path.parent.mkdir()
    path.touch()
    assert node_classes["LatentSyncLoadModel"].validate_inputs(path.name) is True
    path.unlink()
    assert "mine.safetensors" in node_classes["LatentSyncLoadModel"].validate_inputs(path.name)


def test_a_file_goes_into_the_first_folder_that_takes_it(published, places, tmp_path):
    (tmp_path / "no folder").write_text("a file where a folder is configured")
    places["latentsync"][:] = [str(tmp_path / "no folder"), str(tmp_path / "not yet"), str(tmp_path)]
    assert published.target_of(published.WHISPER_TINY) == tmp_path / "not yet" / "whisper_tiny.pt"
    del places["latentsync"][1:]
    described = published.files_of("LatentSyncLoadWhisper")[0]
    assert described["error"].startswith("whisper_tiny.pt cannot be stored: none of the folders for latentsync")


def test_a_published_file_is_found_by_its_size_under_any_name_in_any_folder_of_its_kind(published, places):
    path = Path(places["audio_encoders"][0]) / "deep" / "tiny.pt"
    path.parent.mkdir(parents=True)
    for size, name in (
        (published.WHISPER_TINY.size - 1, None),
        (published.WHISPER_TINY.size, str(Path("deep/tiny.pt"))),
    ):
        with open(path, "wb") as file:
            file.truncate(size)
        assert published.files_of("LatentSyncLoadWhisper")[0]["present"] == name


def test_how_the_host_was_started_decides_whether_anything_is_fetched(published, monkeypatch):
    from comfy.cli_args import args

    monkeypatch.setattr(args, "disable_api_nodes", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert published.offline_reason() is None
    monkeypatch.setattr(args, "disable_api_nodes", True)
    assert "started with --disable-api-nodes" in published.offline_reason()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert published.offline_reason().startswith("HF_HUB_OFFLINE is set")


def test_without_a_running_host_there_are_no_routes_and_no_error(pack, monkeypatch):
    routes = importlib.import_module(f"{pack.__name__}.nodes.host.model_routes")
    monkeypatch.delitem(sys.modules, "server", raising=False)
    routes.register_routes()
    assert "server" not in sys.modules, "importing it would start what only a running host has"
