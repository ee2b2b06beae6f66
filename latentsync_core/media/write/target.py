"""Where a result goes, checked before work starts; what fails while it is written is one error that names it."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import av.error

from ...errors import LatentSyncError

EXTENSIONS = (".mp4", ".mov", ".mkv")
DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def check_target(path: str | os.PathLike, overwrite: bool = False, inputs: Iterable[str | os.PathLike] = ()) -> Path:
    """The path of a video about to be written, or a LatentSyncError that says why it cannot be.

    Refused: an extension other than .mp4, .mov, .mkv; a folder that is missing or not writable; a name the file system
    does not take; one of the `inputs`, by whatever name; an existing file, unless `overwrite`.
    """
    path = Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        found = f"ends in {path.suffix}" if path.suffix else "has no extension"
        raise LatentSyncError(f"{path}: the output {found}; name it .mp4, .mov or .mkv")
    folder = path.parent
    if not folder.is_dir():
        raise LatentSyncError(f"{path}: there is no folder {folder} to write to; create it or choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LatentSyncError(f"{path}: writing to the folder {folder} is not permitted; choose another")
    try:
        os.lstat(path)
    except FileNotFoundError:
        return path
    except (OSError, ValueError) as error:
        reason = "the name is too long" if getattr(error, "errno", None) == errno.ENAMETOOLONG else error
        raise LatentSyncError(f"{path}: a file cannot be given this name ({reason}); choose another") from error
    check_existing(path, overwrite, inputs)
    return path


def check_existing(path: Path, overwrite: bool, inputs: Iterable[str | os.PathLike]) -> None:
    """Raise LatentSyncError unless what stands at `path` may be replaced."""
    if path.is_dir():
        raise LatentSyncError(f"{path}: this is a folder; name a file to write")
    for source in inputs:
        if path.exists() and os.path.exists(source) and os.path.samefile(path, source):
            raise LatentSyncError(f"{path}: the output is the same file as the input {source}; choose another name")
    if not overwrite:
        raise LatentSyncError(f"{path}: this file exists already; choose another name or ask for it to be overwritten")


@contextlib.contextmanager
def refusing_failed_writes(path: Path) -> Iterator[None]:
    """Turn what the encoder, the container or the disk refuses into one LatentSyncError that names `path`."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        if error.errno in DISK_FULL:
            reason = f"the disk is full or the file grew too large: {reason}"
        raise LatentSyncError(f"{path}: the video could not be written ({reason})") from error
