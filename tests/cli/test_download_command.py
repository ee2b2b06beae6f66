"""``download`` as a user types it; the transfer itself is tested in tests/models/test_download.py."""

import argparse

import pytest

from latentsync_core.cli import download
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.catalog import (
    CATALOGUE,
    UNET_1_6,
    VAE_FT_MSE,
    WHISPER_TINY,
)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    download.add_parser(parser.add_subparsers())
    return parser.parse_args(["download", *arguments])


def test_list_names_every_file_with_its_hash(capsys):
    args = parse("--list")
    assert args.run(args) == 0
    output = capsys.readouterr().out
    for model in CATALOGUE:
        assert model.target in output and model.sha256 in output and model.page in output


def test_files_already_there_are_named_and_nothing_is_asked(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for model in (UNET_1_6, WHISPER_TINY, VAE_FT_MSE):
        path = tmp_path / model.target
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as file:
            file.truncate(model.size)
    args = parse("--models", str(tmp_path))
    assert args.run(args) == 0
    output = capsys.readouterr().out
    assert all(model.name in output and model.licence in output for model in (UNET_1_6, WHISPER_TINY, VAE_FT_MSE))


def test_a_refusal_reaches_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    args = parse("syncnet", "--models", str(tmp_path))
    with pytest.raises(LatentSyncError, match="HF_HUB_OFFLINE"):
        args.run(args)


def test_an_unknown_release_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse("1.7")
    assert "invalid choice: '1.7'" in capsys.readouterr().err
