"""The feature cache saves work, and no damage to its folder makes a run fail."""

import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync_core.audio import cached_features, feature_key
from latentsync_core.disk_cache import DiskCache


def features_of(value: float) -> torch.Tensor:
    return torch.full((40, 5, 8), value)


def count_computations(cache: DiskCache, key: str, value: float = 1.0) -> tuple[torch.Tensor, int]:
    calls = []
    result = cached_features(cache, key, lambda: calls.append(1) or iter(features_of(value).split(17)))
    return result, len(calls)


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_second_run_reads_what_the_first_computed(tmp_path):
    first, computed = count_computations(DiskCache(tmp_path / "new" / "folder"), "k")
    again, recomputed = count_computations(DiskCache(tmp_path / "new" / "folder"), "k", value=9.0)
    assert (computed, recomputed) == (1, 0)
    assert torch.equal(first, again)
    assert files_in(tmp_path / "new" / "folder") == ["features/k.safetensors"]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text"])
def test_damaged_file_is_computed_again_and_replaced(tmp_path, damage, caplog):
    cache = DiskCache(tmp_path)
    count_computations(cache, "k")
    path = tmp_path / "features" / "k.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "empty":
        content = b""
    elif damage == "cut":
        content = content[:-100]
    elif damage == "flipped":
        content[-7] ^= 0xFF
    else:
        content = b"not a cache file"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        result, computed = count_computations(cache, "k")
    assert computed == 1 and torch.equal(result, features_of(1.0))
    assert "computing them again" in caplog.text
    assert count_computations(cache, "k")[1] == 0


def test_unwritable_folder_costs_a_warning_only(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        result, computed = count_computations(DiskCache(tmp_path / "file" / "cache"), "k")
    assert computed == 1 and torch.equal(result, features_of(1.0))
    assert "were not cached" in caplog.text


def test_key_changes_with_voice_weights_and_mode(whisper):
    voice = np.zeros(16000, np.float32)
    key = feature_key(voice, whisper, "overlap")
    assert key == feature_key(torch.from_numpy(voice.copy()), whisper, "overlap")
    assert key != feature_key(voice, whisper, "reference")
    other = voice.copy()
    other[7] = 1e-7
    assert key != feature_key(other, whisper, "overlap")
    bias = whisper.blocks[1].mlp[0].bias
    before = bias.detach().clone()
    with torch.no_grad():
        bias[0] += 1
    changed = feature_key(voice, whisper, "overlap")
    with torch.no_grad():
        bias.copy_(before)
    assert changed != key == feature_key(voice, whisper, "overlap")


def use_cache_repeatedly(directory: str, failures) -> None:
    cache = DiskCache(directory)
    for round_ in range(30):
        key = str(round_ % 3)
        found = cached_features(cache, key, lambda k=key: iter([features_of(float(k))]))
        if not torch.equal(found, features_of(float(key))):
            failures.put(key)


@pytest.mark.long
def test_two_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    workers = [context.Process(target=use_cache_repeatedly, args=(str(tmp_path), failures)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert failures.empty()
    assert files_in(tmp_path) == [f"features/{k}.safetensors" for k in range(3)]
