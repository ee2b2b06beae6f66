"""Whether a path names a file that can be read, told before anything heavy is imported to read it."""

import os
import re
import stat
from pathlib import Path

from .errors import LatentSyncError

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # a Path writes https://host as https:/host


def check_readable(path: Path, needs: str) -> None:
    """Raise LatentSyncError unless `path` is a non-empty plain file this user may read."""
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):  # opening a pipe or device could block for ever
            with open(path, "rb"):
                pass
    except FileNotFoundError as error:
        if address := ADDRESS.fullmatch(str(path)):
            raise LatentSyncError(describe_address(address[1], address[2], needs)) from error
        raise LatentSyncError(f"{path}: there is no such file, {needs} is needed; check the path") from error
    except PermissionError as error:
        raise LatentSyncError(f"{path}: reading this file is not permitted, {needs} is needed") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LatentSyncError(f"{path}: this file cannot be opened ({reason}), {needs} is needed") from error
    if stat.S_ISDIR(status.st_mode):
        raise LatentSyncError(f"{path}: this is a folder, {needs} is needed")
    if not stat.S_ISREG(status.st_mode):
        raise LatentSyncError(f"{path}: this is a pipe or a device, {needs} is needed")
    if status.st_size == 0:
        raise LatentSyncError(f"{path}: this file is empty (0 bytes), {needs} is needed")


def describe_address(scheme: str, rest: str, needs: str) -> str:
    """Why a URL is not opened, and what to name in its place."""
    if scheme.lower() == "file":
        return f"file:///{rest}: this is a URL, {needs} is needed by its plain path; leave out file://"
    address = f"{scheme}://{rest}"
    return f"{address}: addresses are not opened, only local files; download it first, {needs} is needed"
