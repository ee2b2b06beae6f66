"""One folder for everything kept between runs: it stays below its limit, and what was used last stays longest."""

import logging
import multiprocessing
import os
from pathlib import Path

import pytest

from latentsync_core import disk_cache
from latentsync_core.disk_cache import DiskCache, content_key, default_folder, default_limit, parse_limit
from latentsync_core.errors import LatentSyncError

KB = 1000  # bytes


def key(number: int) -> str:
    return content_key(number=number)


def put(cache: DiskCache, number: int, size: int = 10 * KB, kind: str = "tracks") -> None:
    """An entry that was last used `number` seconds after the beginning of time."""

    def write(path: Path) -> None:
        path.write_bytes(bytes(size))
        os.utime(path, (number, number))

    cache.put(kind, key(number), write)


def kept(cache: DiskCache, count: int, kind: str = "tracks") -> list[int]:
    return [number for number in range(1, count + 1) if cache.path(kind, key(number)).exists()]


def test_the_limit_holds_and_what_was_used_last_stays(tmp_path):
    cache = DiskCache(tmp_path, 100 * KB)
    for number in range(1, 10):
        put(cache, number)
    assert kept(cache, 9) == list(range(1, 10)) and cache.size() == (9, 90 * KB)
    assert cache.get("tracks", key(1), Path.read_bytes) == bytes(10 * KB)  # now the one used last
    for number in range(10, 13):
        cache.put("latents", key(number), lambda path: path.write_bytes(bytes(10 * KB)))
    left = kept(cache, 9)
    assert 1 in left and 2 not in left and left[1:] == list(range(left[1], 10))
    assert kept(cache, 12, "latents") == [10, 11, 12]
    assert cache.size()[1] <= 100 * KB


def test_an_entry_larger_than_the_limit_pushes_nothing_out(tmp_path, caplog):
    cache = DiskCache(tmp_path, 100 * KB)
    put(cache, 1)
    put(cache, 2, size=101 * KB)
    assert kept(cache, 2) == [1] and "were not cached" in caplog.text
    assert [path.name for path in (tmp_path / "tracks").iterdir()] == [cache.path("", key(1)).name]


def test_features_of_releases_without_kinds_count_and_go_first_and_foreign_files_stay(tmp_path):
    cache = DiskCache(tmp_path, 100 * KB)
    old, foreign = tmp_path / f"{key(0)}.safetensors", tmp_path / "model.safetensors"
    for path in (old, foreign):
        path.write_bytes(bytes(50 * KB))
        os.utime(path, (0, 0))
    for number in range(1, 7):
        put(cache, number)
    assert not old.exists() and foreign.exists()
    assert kept(cache, 6) == list(range(1, 7)) and cache.size() == (6, 60 * KB)


def test_a_nearly_full_disk_is_left_to_the_run(tmp_path, monkeypatch, caplog):
    cache = DiskCache(tmp_path)
    monkeypatch.setattr(disk_cache, "KEPT_FREE", 2**62)  # more than any disk has
    put(cache, 1)
    put(cache, 2)
    assert cache.size() == (0, 0)
    assert len(caplog.records) == 1 and "of the disk are free" in caplog.text  # said once, not for every entry


def test_what_a_kill_left_behind_goes_when_it_is_old(tmp_path):
    cache = DiskCache(tmp_path, 100 * KB)
    put(cache, 1)
    old, young = (tmp_path / "tracks" / f".latentsync-{name}.safetensors" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    DiskCache(tmp_path, 100 * KB).put("tracks", key(2), lambda path: path.write_bytes(b"2"))
    assert not old.exists() and young.exists()


def test_found_and_computed_are_counted_by_kind(tmp_path, caplog):
    cache = DiskCache(tmp_path)
    put(cache, 1)

    def damaged(path: Path) -> None:
        raise ValueError("cut short")

    with caplog.at_level(logging.WARNING):
        assert cache.get("tracks", key(1), damaged) is None
    assert "cut short" in caplog.text
    cache.get("tracks", key(1), Path.read_bytes)
    cache.get("latents", key(1), Path.read_bytes)
    assert cache.found == {"tracks": 1} and cache.computed == {"tracks": 1, "latents": 1}


def read(path: Path) -> bytes:
    """As the readers of real entries do: what cannot be read is damaged."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(str(error)) from error


def use_repeatedly(folder: str, stride: int, failures) -> None:
    cache = DiskCache(folder, 50 * KB)  # five of the eight entries fit
    for turn in range(200):
        number = (turn * stride) % 8
        content = cache.get("tracks", key(number), read)
        if content is None:
            cache.put("tracks", key(number), lambda path, n=number: path.write_bytes(bytes([n]) * 10 * KB))
        elif content != bytes([number]) * 10 * KB:
            failures.put(number)


@pytest.mark.long
def test_two_processes_fill_and_empty_one_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    workers = [context.Process(target=use_repeatedly, args=(str(tmp_path), stride, failures)) for stride in (1, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert failures.empty()
    count, size = DiskCache(tmp_path).size()
    assert 0 < count and size <= 2 * 50 * KB  # each process keeps the limit; what both write at once may exceed it


def test_folder_and_limit_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTSYNC_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("LATENTSYNC_CACHE_LIMIT", "0.5")
    assert default_folder() == tmp_path / "elsewhere" and default_limit() == 500_000_000
    monkeypatch.delenv("LATENTSYNC_CACHE")
    monkeypatch.delenv("LATENTSYNC_CACHE_LIMIT")
    assert default_folder().name == "latentsync" and default_limit() == 8_000_000_000


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(LatentSyncError, match=r"--cache-limit is .* above 0"):
        parse_limit(text, "--cache-limit")
