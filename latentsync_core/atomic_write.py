"""Files that appear whole or not at all: written under a temporary name beside their own, then renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LatentSyncError

TEMPORARY_PREFIX = ".latentsync-"


class PendingFile:
    """A file that exists under a hidden temporary name beside `path` until commit() puts it in place."""

    def __init__(self, path: Path, overwrite: bool):
        self.path = path
        self.overwrite = overwrite
        # Short whatever the target is called, so that a name of 255 bytes works too.
        self.temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{path.suffix.lower()}"
        try:
            with open(self.temporary, "xb"):
                pass
        except OSError as error:
            raise LatentSyncError(f"{path}: no file can be made in its folder ({error.strerror})") from error

    def commit(self) -> None:
        """Bring the file to the disk and to its final name; an existing file is replaced only with `overwrite`."""
        with open(self.temporary, "rb+") as file:
            os.fsync(file.fileno())
        if self.overwrite:
            os.replace(self.temporary, self.path)
        else:
            self._place_without_replacing()
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the temporary file."""
        self.temporary.unlink(missing_ok=True)

    def _place_without_replacing(self) -> None:
        """Rename, but fail where another program has made a file of that name since the check."""
        try:
            os.link(self.temporary, self.path)
        except FileExistsError as error:
            raise appeared_meanwhile(self.path) from error
        except OSError as error:  # a file system without hard links
            if os.path.lexists(self.path):
                raise appeared_meanwhile(self.path) from error
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path to write to, of the same suffix: renamed to `path` at the block's end, removed at an error.

    An existing file is replaced. Raises LatentSyncError where the folder takes no file, OSError where the disk fails.
    """
    pending = PendingFile(path, overwrite=True)
    try:
        yield pending.temporary
        pending.commit()
    finally:
        pending.discard()


def appeared_meanwhile(path: Path) -> LatentSyncError:
    """The error for a name that was free when the work began."""
    return LatentSyncError(f"{path}: a file of this name appeared meanwhile; choose another name")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
