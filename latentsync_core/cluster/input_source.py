"""A video or voice by its local path or by its address in object storage, which is copied here for as long as needed.

Only the job files of `batch` take addresses. fsspec, which comes with diffusers, opens them; a store's own driver, such
as s3fs, is the user's to install.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ..disk_cache import DiskCache, content_key
from ..errors import LatentSyncError
from ..file_names import valid_text
from ..input_files import check_readable

ADDRESS = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://.+", re.DOTALL)
INPUTS = "inputs"  # kind of entries in the cache, and their folder's name

Source = Path | str
"""A Path, or an address as text."""


def parse_source(text: str) -> Source:
    """What a job file names."""
    return text if ADDRESS.fullmatch(text) else Path(text)


def stem_of(source: Source) -> str:
    """The file's name without its extension."""
    return source.stem if isinstance(source, Path) else PurePosixPath(source).stem


def check_source(source: Source, needs: str) -> None:
    """Raise LatentSyncError unless there is a file to read; needs: what is needed, "a video file"."""
    if isinstance(source, Path):
        check_readable(source, needs)
    else:
        state_of(source)


def state_of(source: Source) -> dict[str, Any]:
    """By what a changed file is told without reading it: of a path, bytes and time of writing; of an address, what its
    store says of it. Raises LatentSyncError for an address at which there is nothing, or that cannot be asked.
    """
    if isinstance(source, Path):
        found = source.stat()
        return {"path": valid_text(str(source.absolute())), "bytes": found.st_size, "written": found.st_mtime_ns}
    system, path = opened(source)
    try:
        if not system.isfile(path):
            raise LatentSyncError(f"{source}: there is no such file; check the address.")
        return {"path": source, "state": system.ukey(path)}
    except LatentSyncError:
        raise
    except Exception as error:  # every store has errors of its own
        raise unreachable(source, error) from error


@contextmanager
def local_file(source: Source, cache: DiskCache | None) -> Iterator[Path]:
    """A path of the file on this machine; that of an address lasts as long as the block.

    cache: where a copy is kept for the next clip that needs it. Raises LatentSyncError where it cannot be copied.
    """
    if isinstance(source, Path):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="latentsync-") as folder:
        target = Path(folder, f"source{PurePosixPath(source).suffix}")
        key = content_key(**state_of(source))
        kept = cache and cache.get(INPUTS, key, lambda entry: shutil.copyfile(entry, target))
        if not kept:
            copy_here(source, target)
            if cache is not None:
                cache.put(INPUTS, key, lambda entry: shutil.copyfile(target, entry))
        yield target


def copy_here(address: str, target: Path) -> None:
    """Copy what is at an address to the local path `target`."""
    system, path = opened(address)
    try:
        system.get_file(path, str(target))
    except Exception as error:  # every store has errors of its own
        raise unreachable(address, error) from error


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address and the path in it."""
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(address)
    except Exception as error:  # a scheme nobody knows, a driver that is not installed, access that is not granted
        raise unreachable(address, error) from error


def unreachable(address: str, error: Exception) -> LatentSyncError:
    """The error of an address that cannot be opened, with what the store said."""
    return LatentSyncError(f"{address}: it cannot be opened ({' '.join(str(error).split()) or type(error).__name__})")
