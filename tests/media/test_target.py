"""Targets are checked before work starts; a result appears whole or not at all."""

import os

import pytest

from latentsync_core.atomic_write import PendingFile
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import check_target


@pytest.mark.parametrize("name", ["a.mp4", "a.MOV", "ünï cödé 'q\".mkv", "x" * 251 + ".mp4"])
def test_good_targets(name, tmp_path):
    assert check_target(tmp_path / name) == tmp_path / name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.avi", r"ends in \.avi; name it \.mp4, \.mov or \.mkv"),
        ("a", "has no extension"),
        ("none/a.mp4", "there is no folder"),
        ("x" * 300 + ".mp4", "the name is too long"),
        ("folder.mp4", "this is a folder"),
        ("file/a.mp4", "there is no folder"),
        ("nul\0.mp4", "cannot be given this name"),
    ],
)
def test_bad_targets(name, reason, tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(LatentSyncError, match=reason):
        check_target(tmp_path / name, overwrite=True)


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "a.mp4"
    path.touch()
    with pytest.raises(LatentSyncError, match="exists already"):
        check_target(path)
    assert check_target(path, overwrite=True) == path


def test_an_input_is_never_the_target(tmp_path):
    source = tmp_path / "source.mp4"
    source.touch()
    with pytest.raises(LatentSyncError, match="the same file as the input"):
        check_target(tmp_path / "." / "source.mp4", overwrite=True, inputs=[source])
    os.symlink(source, tmp_path / "link.mp4")
    with pytest.raises(LatentSyncError, match="the same file as the input"):
        check_target(tmp_path / "link.mp4", overwrite=True, inputs=[source])


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    pending = PendingFile(tmp_path / ("ä" * 125 + "x.mp4"), overwrite=False)
    assert pending.temporary.name.startswith(".") and pending.temporary.parent == tmp_path
    pending.temporary.write_bytes(b"whole")
    pending.commit()
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"whole"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.mp4"
    pending = PendingFile(path, overwrite=False)
    path.write_bytes(b"somebody else's")
    with pytest.raises(LatentSyncError, match="appeared meanwhile"):
        pending.commit()
    pending.discard()
    assert path.read_bytes() == b"somebody else's" and len(list(tmp_path.iterdir())) == 1


def test_the_result_has_ordinary_permissions(tmp_path):
    (tmp_path / "ordinary").touch()
    pending = PendingFile(tmp_path / "a.mp4", overwrite=True)
    pending.commit()
    assert (tmp_path / "a.mp4").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
