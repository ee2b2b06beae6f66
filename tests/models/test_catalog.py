"""Published model files are found where users keep them, and a release is never mistaken for the other."""

import math
import os
import re
import sys
from pathlib import Path

import pytest

from latentsync_core.models import catalog as models
from latentsync_core.models.catalog import (
    CATALOGUE,
    MUSETALK_1_0,
    MUSETALK_1_5,
    STABLE_SYNCNET,
    SYNCNET_V2,
    UNET_1_5,
    UNET_1_6,
    VAE_FT_MSE,
    WHISPER_TINY,
)


def sparse(path: Path, size: int) -> Path:
    """A file that has `size` bytes and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def test_catalogue_is_well_formed_and_no_two_files_share_a_place():
    assert len({model.target for model in CATALOGUE}) == len(CATALOGUE)
    for model in CATALOGUE:
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
        assert re.fullmatch(r"[0-9a-f]{40}", model.revision)
        assert model.size > 10_000_000
        assert model.licence and model.purpose


def test_each_release_downloads_all_that_a_run_needs():
    for release, unet in (("1.6", UNET_1_6), ("1.5", UNET_1_5)):
        assert set(models.DOWNLOADS[release]) == {unet, WHISPER_TINY, VAE_FT_MSE}
    for name, unet in (("musetalk", MUSETALK_1_5), ("musetalk-1.0", MUSETALK_1_0)):
        assert set(models.DOWNLOADS[name]) == {unet, WHISPER_TINY, VAE_FT_MSE}
    assert set(models.DOWNLOADS["all"]) == set(CATALOGUE)


def test_a_score_downloads_the_small_judge_only():
    assert models.DOWNLOADS["score"] == (SYNCNET_V2,) and SYNCNET_V2.size < 60e6
    assert set(models.DOWNLOADS["syncnet"]) == {SYNCNET_V2, STABLE_SYNCNET}


def test_canonical_names_are_found(tmp_path):
    for model in CATALOGUE:
        assert models.find(model, tmp_path) is None
        path = sparse(tmp_path / model.folder / model.name, 10)
        assert models.find(model, tmp_path) == path
        assert not models.is_complete(model, path)


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (WHISPER_TINY, "whisper/tiny.pt"),
        (WHISPER_TINY, "checkpoints/whisper/tiny.pt"),
        (VAE_FT_MSE, "vae/sd-vae-ft-mse/diffusion_pytorch_model.safetensors"),
        (STABLE_SYNCNET, "checkpoints/stable_syncnet.pt"),
        (SYNCNET_V2, "checkpoints/auxiliary/syncnet_v2.model"),
        (UNET_1_5, "LatentSync-1.5/latentsync_unet.pt"),
        (MUSETALK_1_5, "musetalkV15/unet.pth"),
        (MUSETALK_1_0, "MuseTalk/musetalk/pytorch_model.bin"),
    ],
)
def test_upstream_layouts_are_found(tmp_path, model, place):
    path = sparse(tmp_path / place, 10)
    assert models.find(model, tmp_path) == path


@pytest.mark.parametrize("place", ["latentsync/latentsync_unet.pt", "checkpoints/latentsync_unet.pt"])
@pytest.mark.parametrize(("mine", "other"), [(UNET_1_5, UNET_1_6), (UNET_1_6, UNET_1_5)])
def test_the_name_both_releases_share_is_told_apart_by_size(tmp_path, place, mine, other):
    path = sparse(tmp_path / place, mine.size)
    assert models.identify_release(path) == mine.release
    assert models.find(mine, tmp_path) == path
    assert models.is_complete(mine, path)
    assert models.find(other, tmp_path) is None


def test_an_unknown_unet_is_claimed_by_neither_release(tmp_path):
    path = sparse(tmp_path / "latentsync" / "latentsync_unet.pt", 123)
    assert models.identify_release(path) is None
    assert models.find(UNET_1_5, tmp_path) is models.find(UNET_1_6, tmp_path) is None


@pytest.mark.parametrize(
    ("path", "release"),
    [
        ("latentsync_unet_1.6.pt", "1.6"),
        ("my_tuned_latentsync_1_5_fp16.safetensors", "1.5"),
        ("LatentSync-1.6/checkpoints/latentsync_unet.pt", "1.6"),
        ("models--ByteDance--LatentSync-1.5/snapshots/abc/latentsync_unet.pt", "1.5"),
        ("LatentSync-1.6/latentsync_unet_1.5.pt", "1.5"),
        ("python1.5/latentsync_unet.pt", None),
        ("latentsync_unet_step11.60.pt", None),
        ("latentsync_unet.pt", None),
    ],
)
def test_release_by_name(tmp_path, path, release):
    assert models.identify_release(tmp_path / path) == release


def test_size_outranks_a_wrong_name(tmp_path):
    path = sparse(tmp_path / UNET_1_6.target, UNET_1_5.size)
    assert models.identify_release(path) == "1.5"
    assert models.find(UNET_1_6, tmp_path) is None
    assert models.NATIVE_RESOLUTION == {"1.5": 256, "1.6": 512}


@pytest.mark.parametrize(
    ("path", "release"),
    [
        ("musetalk_1.5.pth", "1.5"),
        ("musetalk_1.0.bin", "1.0"),
        ("musetalkV15/unet.pth", "1.5"),
        ("musetalkV15/fp16.safetensors", "1.5"),
        ("musetalk/pytorch_model.bin", "1.0"),
        ("musetalk/unet.pth", "1.5"),
        ("MuseTalk-1.0/mine.safetensors", "1.0"),
        ("musetalk/mine.safetensors", None),
        ("musetalk_150.safetensors", None),
    ],
)
def test_musetalks_release_by_name(tmp_path, path, release):
    assert models.identify_musetalk(tmp_path / path) == release


def test_musetalks_size_outranks_a_wrong_name(tmp_path):
    assert models.identify_musetalk(sparse(tmp_path / MUSETALK_1_5.target, MUSETALK_1_0.size)) == "1.0"


def test_musetalks_sizes_are_its_tensors_and_little_more(golden):
    tensors = 4 * sum(math.prod(shape) for shape in golden("musetalk_unet_keys.json").values())  # bytes of float32
    for model in (MUSETALK_1_5, MUSETALK_1_0):
        assert 0 < model.size - tensors < 1_000_000


def test_models_directory_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(models.MODELS_VARIABLE, raising=False)
    fallback = models.models_directory()
    assert fallback.parts[-2:] == ("latentsync", "models") and tmp_path not in fallback.parents
    (tmp_path / "models").mkdir()
    assert models.models_directory() == tmp_path / "models"
    monkeypatch.setenv(models.MODELS_VARIABLE, str(tmp_path / "elsewhere"))
    assert models.models_directory() == tmp_path / "elsewhere"
    assert models.models_directory(tmp_path / "chosen") == tmp_path / "chosen"
    assert sorted(os.listdir(tmp_path)) == ["models"], "asking for the folder creates nothing"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG base directories are Linux's")
def test_user_data_directory_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert models.user_data_directory() == tmp_path
