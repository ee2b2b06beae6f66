"""One run at a time in a folder: a lock the system itself lifts when the process ends, however it ends."""

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

LOCKED_BYTE = 2**20  # past anything written, as Windows lets nobody read a locked byte


class FolderInUseError(Exception):
    """Another process holds the lock; its process id where it can be read."""


class FolderLock:
    """An advisory lock on the file `path`, which is made and, on release, removed."""

    def __init__(self, path: Path):
        self.path = path
        self._file: BinaryIO | None = None

    def acquire(self) -> None:
        """Take the lock; raises FolderInUseError where another run, in this process or another, has it."""
        while True:
            file = open(self.path, "a+b")  # noqa: SIM115 (open for as long as the lock is held)
            try:
                lock(file)
            except (BlockingIOError, PermissionError) as error:
                file.seek(0)
                holder = file.read(20).decode("ascii", "replace").strip() or "?"
                file.close()
                raise FolderInUseError(holder) from error
            if is_at(file, self.path):  # else the holder before has removed it meanwhile
                break
            file.close()
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give it back."""
        file, self._file = self._file, None
        if file is None:
            return
        if fcntl:
            self.path.unlink(missing_ok=True)  # while it is held: whoever waits sees that it is gone
            file.close()
        else:
            file.close()  # Windows removes no open file
            with contextlib.suppress(PermissionError):  # another run has opened it since
                self.path.unlink(missing_ok=True)


def lock(file: BinaryIO) -> None:
    """Lock an open file or raise BlockingIOError (PermissionError on Windows) at once."""
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        file.seek(LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether `path` still names the open `file`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
