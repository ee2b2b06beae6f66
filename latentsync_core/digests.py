"""Digests by which contents are told apart: of files, which are not read again while they stay the same, of weights."""

import hashlib
import time
from pathlib import Path
from typing import Any

import torch

from .disk_cache import DiskCache, content_key
from .entry_file import read_entry, write_entry

DIGEST_VALUES = 256  # of every weight tensor, evenly spread: what differs between two models differs almost everywhere
READ_BYTES = 2**20  # at a time
SETTLED_SECONDS = 2.0  # a younger file might change again without its time of writing changing
KIND = "digests"


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def known_digest(path: Path, cache: DiskCache | None) -> str:
    """SHA-256 of a file's content, from `cache` where it was taken of this file and nothing has touched that since."""
    if cache is None:
        return file_digest(path)
    found = path.stat()
    touched = max(found.st_mtime_ns, found.st_ctime_ns)
    key = content_key(
        path=ascii(str(path.absolute())),
        size=found.st_size,
        written=found.st_mtime_ns,
        changed=found.st_ctime_ns,  # a copy that keeps its times is told apart by this
        inode=found.st_ino,
    )
    digest = cache.get(KIND, key, lambda entry: read_entry(entry)[1]["sha256"])
    if digest is None:
        digest = file_digest(path)
        if time.time() - touched / 1e9 > SETTLED_SECONDS:
            cache.put(KIND, key, lambda entry: write_entry(entry, {}, {"sha256": digest}))
    return digest


def weights_digest(module: Any) -> str:
    """SHA-256 over metadata and every tensor's name, shape and some values; a few gigabytes take a moment."""
    metadata = sorted((getattr(module, "metadata", None) or {}).items())
    digest = hashlib.sha256(f"{type(module).__name__}{metadata}".encode())
    state = module.state_dict() if isinstance(module, torch.nn.Module) else {}
    for name, tensor in sorted(state.items()):
        values = tensor.detach().reshape(-1)
        picks = torch.linspace(0, max(len(values) - 1, 0), min(DIGEST_VALUES, len(values))).long()
        digest.update(f"{name}:{tuple(tensor.shape)}:".encode())
        digest.update(values[picks.to(values.device)].cpu().double().numpy().tobytes())
    return digest.hexdigest()
