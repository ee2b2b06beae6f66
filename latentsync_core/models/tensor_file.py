"""Reading model files: .safetensors and .pt in any published layout, memory-mapped, nothing in them executed."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import LatentSyncError

METADATA_PREFIX = "latentsync."  # of our own strings in a safetensors header
NESTED_UNDER = ("state_dict", "model_state_dict")  # where .pt files keep their tensors, if not at the top


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a file by name, and what else it says: safetensors strings or a .pt's other entries."""

    path: Path
    tensors: dict[str, Tensor]
    about: dict[str, Any]

    def mapping(self, name: str) -> dict[str, Any] | None:
        """The entry `name` of `about`, decoded if it is stored as JSON text; None where there is none.

        Raises LatentSyncError where it is anything but a mapping.
        """
        value = self.about.get(name)
        try:
            value = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            value = False
        if value is not None and not isinstance(value, Mapping):
            raise LatentSyncError(
                f"{self.path}: its entry {name!r} is damaged (a JSON object is needed); download the file again."
            )
        return value


def read_tensors(path: Path | str) -> TensorFile:
    """Open a .safetensors, .pt, .pth, .ckpt or .bin file.

    Raises LatentSyncError naming the file when there is none, when it is damaged, or when it holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LatentSyncError(f"{path} {what}; a model file (.pt or .safetensors) is needed here.")
    try:
        content, about = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise LatentSyncError(
            f"{path} ({path.stat().st_size:,} bytes) is not a readable model file: it is damaged, incomplete or of "
            f"another kind; a .pt or .safetensors file is needed, download it again or choose another."
        ) from error
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise LatentSyncError(f"{path} holds no tensors (found: {list(content)[:3] or 'nothing'}); a model is needed.")
    return TensorFile(path, tensors, about)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt", device="cpu") as file:
        strings = {name.removeprefix(METADATA_PREFIX): value for name, value in (file.metadata() or {}).items()}
        return {name: file.get_tensor(name) for name in file.keys()}, strings  # noqa: SIM118 (not a mapping)


def _read_pickle(path: Path) -> tuple[Mapping[str, Any], dict[str, Any]]:
    loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    if not isinstance(loaded, Mapping):
        raise ValueError(f"holds a {type(loaded).__name__}")
    for name in NESTED_UNDER:
        if isinstance(loaded.get(name), Mapping):
            return loaded[name], {key: value for key, value in loaded.items() if key != name}
    return loaded, {key: value for key, value in loaded.items() if not isinstance(value, Tensor)}
