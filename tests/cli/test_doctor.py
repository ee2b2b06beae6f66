"""``doctor`` as a user meets it: what it prints, what it returns, what it tells to do."""

import argparse
import json
import socket
from pathlib import Path

import pytest

from latentsync_core.cli import doctor
from latentsync_core.disk_cache import DiskCache, content_key
from latentsync_core.models.catalog import (
    CATALOGUE,
    MUSETALK_1_5,
    UNET_1_5,
    UNET_1_6,
    VAE_FT_MSE,
    WHISPER_TINY,
)

COLUMNS = 100


def sparse(path: Path, size: int) -> Path:
    """A file that has `size` bytes and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


@pytest.fixture
def run_doctor(tmp_path, capsys, monkeypatch):
    """Run ``doctor`` on the models folder tmp_path/models with every connection forbidden: (exit code, output)."""

    def forbidden(*arguments):
        raise AssertionError("doctor opened a connection")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTSYNC_CACHE", "cache")

    def run(*arguments: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        doctor.add_parser(parser.add_subparsers())
        args = parser.parse_args(["doctor", "--models", "models", *arguments])
        code = args.run(args)
        return code, capsys.readouterr().out

    return run


def test_an_empty_models_folder_is_not_ready_and_gets_the_command(run_doctor):
    code, output = run_doctor()
    assert code == 1
    for model in CATALOGUE:
        assert model.target in output and model.page in output
    assert "No complete LatentSync UNet" in output
    assert "-m latentsync_core download 1.6 --models models" in output
    assert "Traceback" not in output
    findings = output[: output.index("Not ready")]  # the commands after it are as long as the interpreter's path
    assert max(map(len, findings.splitlines())) <= COLUMNS


def test_ready_with_either_release_in_any_layout(run_doctor, tmp_path):
    sparse(tmp_path / "models" / "checkpoints" / "latentsync_unet.pt", UNET_1_5.size)
    sparse(tmp_path / "models" / "whisper" / "tiny.pt", WHISPER_TINY.size)
    sparse(tmp_path / "models" / VAE_FT_MSE.target, VAE_FT_MSE.size)
    code, output = run_doctor()
    assert (code, output.splitlines()[-1]) == (0, "Ready.")
    assert str(Path("models") / "whisper" / "tiny.pt") in output


def test_musetalk_alone_is_ready_for_itself(run_doctor, tmp_path):
    sparse(tmp_path / "models" / "musetalkV15" / "unet.pth", MUSETALK_1_5.size)
    assert "download musetalk --models models" in run_doctor()[1]
    for model in (WHISPER_TINY, VAE_FT_MSE):
        sparse(tmp_path / "models" / model.target, model.size)
    code, output = run_doctor()
    assert (code, output.splitlines()[-1]) == (
        0,
        "Ready for --generator musetalk; LatentSync's own UNet is not here.",
    )


def test_what_is_missing_beside_1_5_is_fetched_for_1_5(run_doctor, tmp_path):
    sparse(tmp_path / "models" / UNET_1_5.target, UNET_1_5.size)
    code, output = run_doctor()
    assert code == 1
    assert "No complete LatentSync UNet" not in output
    assert "download 1.5 --models models" in output


def test_a_file_cut_short_is_told_from_a_whole_one(run_doctor, tmp_path):
    sparse(tmp_path / "models" / UNET_1_6.target, 1_000_000)
    sparse(tmp_path / "models" / "latentsync" / "latentsync_unet.pt", 2_000_000)
    code, output = run_doctor()
    assert code == 1
    assert "has 1,000,000 of 5,072,222,488 bytes" in output
    assert "latentsync_unet.pt: neither 1.5 nor 1.6 as published" in output


def test_the_cache_is_shown_with_its_size_its_limit_and_how_to_empty_it(run_doctor, monkeypatch):
    assert "0.0 MB of at most 8.00 GB, 0 results\n      in cache; to empty it, remove that folder" in run_doctor()[1]
    DiskCache("cache").put("tracks", content_key(), lambda path: path.write_bytes(bytes(1_500_000)))
    monkeypatch.setenv("LATENTSYNC_CACHE_LIMIT", "0.5")
    assert "1.5 MB of at most 500.0 MB, 1 results" in run_doctor()[1]
    assert json.loads(run_doctor("--json")[1])["cache"] == {
        "folder": "cache",
        "entries": 1,
        "size": 1_500_000,
        "limit": 500_000_000,
    }


def test_json_holds_the_same_facts(run_doctor):
    code, output = run_doctor("--json")
    found = json.loads(output)
    assert (code, found["ready"]) == (1, False)
    assert {package["distribution"]: package["status"] for package in found["packages"]}["torch"] == "ok"
    assert found["devices"][-1]["kind"] == "cpu"
    assert [model["status"] for model in found["models"]] == ["missing"] * len(CATALOGUE)
    assert len(found["face_weights"]) == 3
