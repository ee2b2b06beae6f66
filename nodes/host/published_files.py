"""The published files of each loader node on this host: where they are, where they would go, what stands against it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import folder_paths
from comfy.cli_args import args

from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.models.catalog import (
    MUSETALK_UNETS,
    UNETS,
    VAE_FT_MSE,
    WHISPER_TINY,
    ModelFile,
    is_complete,
    is_fp16_copy,
    nearest_existing,
)
from .folders import FOLDER

UNET_FOLDERS = (FOLDER, "diffusion_models")
WHISPER_FOLDERS = (FOLDER, "audio_encoders")
VAE_FOLDERS = ("vae",)


@dataclass(frozen=True)
class Loader:
    """What a loader node loads: its input, the files it can have, those a run needs besides, and the host's folders."""

    input: str
    own: tuple[ModelFile, ...]
    besides: tuple[ModelFile, ...] = ()

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """All that may be fetched for it."""
        return self.own + self.besides


LOADERS = {
    "LatentSyncLoadModel": Loader("checkpoint", UNETS, (WHISPER_TINY, VAE_FT_MSE)),
    "LatentSyncLoadMuseTalkModel": Loader("checkpoint", MUSETALK_UNETS, (WHISPER_TINY, VAE_FT_MSE)),
    "LatentSyncLoadWhisper": Loader("whisper", (WHISPER_TINY,)),
    "LatentSyncLoadVAE": Loader("vae", (VAE_FT_MSE,)),
}
FOLDERS = {model: UNET_FOLDERS for model in UNETS + MUSETALK_UNETS}
FOLDERS |= {WHISPER_TINY: WHISPER_FOLDERS, VAE_FT_MSE: VAE_FOLDERS}


def files_of(loader: str) -> list[dict]:
    """What the dialog of a loader node shows of each of its files.

    `present` is the name under which loaders list it, None where it is not here as a whole; `arrived` are the bytes of an
    interrupted download; `free` those of the disk; `error` says why it cannot be stored.
    """
    own = LOADERS[loader].own
    return [describe(model, model in own) for model in LOADERS[loader].files]


def describe(model: ModelFile, own: bool) -> dict:
    """One file, see `files_of`. own: whether the loader node loads it, or a run needs it besides."""
    from ...latentsync_core.models.download import part_of

    about = {
        "name": model.name,
        "purpose": model.purpose,
        "size": model.size,
        "licence": model.licence,
        "source": model.repo_id,
        "page": model.page,
        "own": own,
        "fp16_name": model.fp16_name,
        "present": listed_name(model),
    }
    try:
        target = target_of(model)
    except LatentSyncError as error:
        return {**about, "folder": None, "arrived": 0, "free": 0, "error": str(error)}
    part = part_of(target)
    return {
        **about,
        "folder": str(target.parent),
        "arrived": part.stat().st_size if part.is_file() else 0,
        "free": free_space(target.parent),
        "error": None,
    }


def listed_name(model: ModelFile) -> str | None:
    """The name under which the loaders list a whole file of `model`, or its fp16 copy; None where there is none."""
    names = {name: path for key in FOLDERS[model] for name, path in listed_files(key)}
    whole = [name for name, path in names.items() if is_complete(model, path)]
    return min(whole, key=lambda name: is_fp16_copy(model, names[name]), default=None)  # as published, if there is


def listed_files(key: str) -> list[tuple[str, Path]]:
    """Names and paths of the files in one of the host's kinds of folders."""
    paths = ((name, folder_paths.get_full_path(key, name)) for name in folder_paths.get_filename_list(key))
    return [(name, Path(path)) for name, path in paths if path is not None]


def target_of(model: ModelFile) -> Path:
    """Where `model` is stored: the first folder of its kind that may be written to. Raises LatentSyncError: none may."""
    key = FOLDERS[model][0]
    folders = [Path(folder) for folder in folder_paths.get_folder_paths(key)]
    for folder in folders:
        existing = nearest_existing(folder)
        if existing.is_dir() and os.access(existing, os.W_OK):
            return folder / model.name
    raise LatentSyncError(
        f"{model.name} cannot be stored: none of the folders for {key} may be written to "
        f"({', '.join(map(str, folders))}); name another in extra_model_paths.yaml."
    )


def free_space(folder: Path) -> int:
    """Bytes free on the disk of a folder that may not exist yet."""
    return shutil.disk_usage(nearest_existing(folder)).free


def offline_reason() -> str | None:
    """Why nothing is fetched, in a sentence, where this host was started to stay offline; None where it was not."""
    from ...latentsync_core.models.download import hub_is_offline

    if hub_is_offline():
        return "HF_HUB_OFFLINE is set, so nothing is fetched; start ComfyUI without it, or put the files there by hand."
    if args.disable_api_nodes:
        return (
            "ComfyUI was started with --disable-api-nodes, which keeps its page off the internet, so nothing is fetched; "
            "start it without, put the files there by hand, or run `python -m latentsync_core download` yourself."
        )
    return None
