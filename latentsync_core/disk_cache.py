"""Results kept on disk between runs, by content: one folder with a limit, for all stages and any number of processes.

An entry is a file <kind>/<key>.safetensors; its key is a digest of everything the result depends on, so an entry never
turns stale, it is only not asked for any more.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from .atomic_write import TEMPORARY_PREFIX, atomic_write
from .errors import LatentSyncError

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "LATENTSYNC_CACHE"
LIMIT_VARIABLE = "LATENTSYNC_CACHE_LIMIT"
GB = 10**9  # bytes
DEFAULT_LIMIT_GB = 8.0
KEPT_FREE = GB // 2  # bytes of the disk that are left to the run's own files
SPARE = 1 / 16  # of the limit, made free at once, so that the folder is not listed for every entry
STUMP_SECONDS = 24 * 3600  # after which a temporary file is one that a kill has left behind
SUFFIX = ".safetensors"
ENTRY = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")  # nothing else in the folder is counted or removed

Result = TypeVar("Result")


class DiskCache:
    """A folder of at most `limit` bytes; what has not been used for longest goes first.

    Safe to share between processes: a file is written under a name of its own and renamed when it is complete. A
    damaged entry is warned of and counts as none; a folder that cannot be written costs one warning, not the run.
    found, computed: by kind, how many results came from here, and how many did not.
    """

    def __init__(self, folder: Path | str, limit: int | None = None):
        self.folder = Path(folder)
        self.limit = default_limit() if limit is None else limit
        self.found: dict[str, int] = {}
        self.computed: dict[str, int] = {}
        self._room = 0  # bytes that may be written before the folder is looked through again
        self._writable = True

    def __str__(self) -> str:
        return str(self.folder)

    def reopened(self) -> "DiskCache":
        """The same folder, with nothing counted yet."""
        return DiskCache(self.folder, self.limit)

    def get(self, kind: str, key: str, read: Callable[[Path], Result]) -> Result | None:
        """What `read` makes of an entry; None where there is none or `read` gives None.

        Where `read` raises ValueError the entry is damaged, which costs a warning.
        """
        path = self.path(kind, key)
        if marked_used(path):
            try:
                result = read(path)
            except ValueError as error:
                if path.exists():  # else another process has made room meanwhile
                    log.warning("Cached %s %s are damaged (%s); computing them again.", kind, path, error)
            else:
                if result is not None:
                    self.found[kind] = self.found.get(kind, 0) + 1
                    return result
        self.computed[kind] = self.computed.get(kind, 0) + 1
        return None

    def put(self, kind: str, key: str, write: Callable[[Path], Any]) -> None:
        """Keep what `write` puts into the path it is given, if there is room."""
        if not self._writable:
            return
        path = self.path(kind, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                write(temporary)
                size = temporary.stat().st_size
                self._check_room(size)
            self._room -= size
            if self._room < 0:
                self._make_room()
        except (OSError, LatentSyncError) as error:
            self._writable = False
            log.warning("%s were not cached in %s: %s.", kind.capitalize(), self.folder, error)

    def holds(self, kind: str, key: str) -> bool:
        """Whether there is an entry, sound or not; counts nothing and keeps nothing from going."""
        return self.path(kind, key).is_file()

    def path(self, kind: str, key: str) -> Path:
        """The file of an entry, whether it exists or not."""
        return self.folder / kind / f"{key}{SUFFIX}"

    def size(self) -> tuple[int, int]:
        """How many entries there are, and their bytes."""
        sizes = [size for _, size, _ in self._entries()]
        return len(sizes), sum(sizes)

    def _check_room(self, size: int) -> None:
        """Raise LatentSyncError where an entry of `size` bytes, written already, is not to stay."""
        if size > self.limit:
            raise LatentSyncError(f"they take {size / GB:.2f} GB of the {self.limit / GB:.2f} GB that it may")
        free = shutil.disk_usage(self.folder).free
        if free < KEPT_FREE:
            raise LatentSyncError(f"only {free / GB:.2f} GB of the disk are free, and the run itself needs some")

    def _make_room(self) -> None:
        """Remove entries until a part of the limit is free again, and what killed processes have left."""
        entries = sorted(self._entries())
        total, wanted = sum(size for _, size, _ in entries), self.limit * (1 - SPARE)
        if total > self.limit:
            for _, size, path in entries[:-1]:  # the newest, just written, stays
                if total <= wanted:
                    break
                if removed(path):
                    total -= size
        self._room = min(int(self.limit * SPARE), self.limit - total)
        for stump in self.folder.glob(f"*/{TEMPORARY_PREFIX}*"):
            if time.time() - modified(stump) > STUMP_SECONDS:
                removed(stump)

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """(time of last use, bytes, path) of every entry, those of releases that knew no kinds among them."""
        for path in (*self.folder.glob(f"*{SUFFIX}"), *self.folder.glob(f"*/*{SUFFIX}")):
            if ENTRY.fullmatch(path.name):
                try:
                    found = path.stat()
                except FileNotFoundError:  # another process has made room meanwhile
                    continue
                yield found.st_mtime, found.st_size, path


def marked_used(path: Path) -> bool:
    """Set a file's time of last use, by which entries go; False where there is none."""
    try:
        os.utime(path)
    except PermissionError:  # another user's, which can be read all the same
        return path.is_file()
    except OSError:  # none, or the folder is none, of which put() warns
        return False
    return True


def removed(path: Path) -> bool:
    """Remove a file; False where it stays, as on Windows while another process reads it."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        return False
    return True


def modified(path: Path) -> float:
    """When a file was last written, in seconds of the epoch; now for one that is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def content_key(**parts: Any) -> str:
    """SHA-256, in hexadecimal, over named parts of what JSON knows: equal parts, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def default_folder() -> Path:
    """$LATENTSYNC_CACHE, else a folder in the user's cache; made when first needed."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home())
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "latentsync"


def default_limit() -> int:
    """Bytes: $LATENTSYNC_CACHE_LIMIT in GB, else 8 GB. Raises LatentSyncError for what is no positive number."""
    return parse_limit(os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_GB), LIMIT_VARIABLE)


def parse_limit(text: str, name: str) -> int:
    """Gigabytes as text -> bytes; name: of the option or variable, for the message."""
    try:
        limit = float(text) * GB
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise LatentSyncError(f"{name} is {text!r}; it must be a number of gigabytes above 0, such as 8 or 0.5.")
    return int(limit)
