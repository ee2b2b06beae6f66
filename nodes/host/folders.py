"""Where the host keeps models, caches and temporary files."""

import logging
import os
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import folder_paths

from ...latentsync_core.disk_cache import DiskCache, default_folder
from ...latentsync_core.errors import LatentSyncError

FOLDER = "latentsync"  # below the host's models folder; extra_model_paths.yaml may name others
TEMPORARY_NAMES = "latentsync_"  # with which our names in the host's temp folder begin
log = logging.getLogger(__name__)

MODEL_SUFFIXES = {".safetensors", ".pt", ".pth", ".ckpt", ".bin"}


def register_model_folder() -> None:
    """Make models/latentsync a folder of its own; folders that a user configured under that name stay first."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    paths, suffixes = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, set(suffixes) | MODEL_SUFFIXES)


def model_files(*folders: str, likely: tuple[str, ...]) -> list[str]:
    """Names of model files in some of the host's folders, those with the earliest of the `likely` words first."""
    names = {name for folder in folders for name in folder_paths.get_filename_list(folder)}

    def rank(name: str) -> int:
        return next((place for place, word in enumerate(likely) if word in name.lower()), len(likely))

    return sorted(names, key=lambda name: (rank(name), name.lower()))


def model_path(name: str, *folders: str) -> str:
    """The path of a model file that `model_files` listed."""
    for folder in folders:
        path = folder_paths.get_full_path(folder, name)
        if path is not None:
            return path
    raise LatentSyncError(not_there(name, folders))


def file_is_there(name: str | None, folders: Sequence[str], *embedded: str) -> bool | str:
    """What a loader node says of its file when queued: True, or the sentence that it is missing and how to get it.

    name: None where a link gives it, which is only known when the node runs. embedded: choices that need no file.
    """
    if name is None or name in embedded or any(folder_paths.get_full_path(folder, name) for folder in folders):
        return True
    return not_there(name, folders)


def not_there(name: str, folders: Sequence[str]) -> str:
    """The sentence for a model file that is missing."""
    return (
        f"{name} is in none of the folders {', '.join(folders)}; press Get models on this node, or put the file there and "
        "press R to refresh the lists."
    )


def disk_cache() -> DiskCache:
    """What is kept between sessions: the command line's own cache, so that either finds what the other has left."""
    return DiskCache(default_folder())


class TemporaryFile(str):
    """The name of a file that is removed when nothing refers to the name any more.

    A VIDEO hands its source's name on to the VIDEOs that are cut from it, and so the file stays for those.
    """


def temporary_file(suffix: str) -> TemporaryFile:
    """A new name in the host's temp folder, which the host empties when it starts and stops."""
    name = TemporaryFile(temporary_place() / f"{TEMPORARY_NAMES}{uuid.uuid4().hex}{suffix}")
    weakref.finalize(name, remove, str(name))
    return name


def remove(name: str) -> None:
    """Remove a temporary file; where somebody still reads it, the host removes it with its temp folder."""
    try:
        Path(name).unlink(missing_ok=True)
    except OSError as error:
        log.info("%s stays until the host stops: %s", name, error)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in the host's temp folder that is removed with all it holds when the block ends."""
    with TemporaryDirectory(prefix=TEMPORARY_NAMES, dir=temporary_place()) as folder:
        yield Path(folder)


def temporary_place() -> Path:
    """The host's temp folder, made where it is missing."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder
