"""Read model files: .safetensors and .pt in any published layout, memory-mapped; no code in them is executed."""

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import LatentSyncError
from ..file_names import utf8_path
from .catalog import check_model_file
from .safetensors_header import METADATA_PREFIX

NESTED_UNDER = ("state_dict", "model_state_dict")  # where .pt files keep their tensors, if not at the top
QUICK_LAYERS = 64  # so many are built quickly, whatever the file states
NAME_SHOWN, REASON_SHOWN = 60, 200  # characters of what was found in a file that is no model


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a file by name, and its metadata: safetensors strings or a .pt's other entries."""

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

    Raises LatentSyncError naming the file when there is none, when it is damaged, or when it holds no tensors. Neither
    memory nor time beyond the file's own size is spent on one that claims to hold more.
    """
    path = Path(path)
    check_model_file(path)
    try:
        content, about = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except Exception as error:  # on arbitrary bytes an unpickler raises any kind of exception
        raise LatentSyncError(
            f"{path} ({path.stat().st_size:,} bytes) is not a readable model file: it is damaged, incomplete or of "
            f"another kind; a .pt or .safetensors file is needed, download it again or choose another."
        ) from error
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and is_plain(value)}
    if not tensors:
        found = ", ".join(repr(name)[:NAME_SHOWN] for name in list(content)[:3])
        raise LatentSyncError(f"{path} holds no tensors (found: {found or 'nothing'}); a model is needed.")
    return TensorFile(path, tensors, {name: value for name, value in about.items() if isinstance(name, str)})


def is_plain(value: Any) -> bool:
    """Whether `value` is a tensor with all of its elements in memory: dense, on the CPU, without broadcast strides."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return not value.is_quantized and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def fits(tensor: Tensor, expected: Tensor) -> bool:
    """Whether a file's tensor can replace a network's: of its shape, and floating-point where that is."""
    return tensor.shape == expected.shape and tensor.is_floating_point() == expected.is_floating_point()


def refuse_more_layers(file: TensorFile, count: int) -> None:
    """Raise LatentSyncError where a file states `count` layers but has fewer tensors: building each takes time."""
    if count > max(len(file.tensors), QUICK_LAYERS):
        raise LatentSyncError(
            f"{file.path} states {count} layers and holds {len(file.tensors)} tensors; download it again."
        )


@contextlib.contextmanager
def refusing_misfits(path: Path, kind: str) -> Iterator[None]:
    """A context in which a failure on a file's own metadata and tensors becomes the error that `path` is no `kind`."""
    try:
        yield
    except (LatentSyncError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a network built from arbitrary numbers and names fails in arbitrary ways
        reason = " ".join(f"{type(error).__name__} {error}".split())[:REASON_SHOWN]
        raise LatentSyncError(
            f"{path} is no {kind}: what it holds does not make one ({reason}); choose another file."
        ) from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with utf8_path(path) as openable, safe_open(openable, framework="pt", device="cpu") as file:
        strings = {name.removeprefix(METADATA_PREFIX): value for name, value in (file.metadata() or {}).items()}
        return {name: file.get_tensor(name) for name in file.keys()}, strings  # noqa: SIM118 (not a mapping)


def _read_pickle(path: Path) -> tuple[Mapping[Any, Any], dict[Any, Any]]:
    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        refuse_compression(path)
    with utf8_path(path) as openable:
        loaded = torch.load(openable, map_location="cpu", weights_only=True, mmap=is_zip)
    if not isinstance(loaded, Mapping):
        raise ValueError(f"holds a {type(loaded).__name__}")
    for name in NESTED_UNDER:
        if isinstance(loaded.get(name), Mapping):
            return loaded[name], {key: value for key, value in loaded.items() if key != name}
    return loaded, {key: value for key, value in loaded.items() if not isinstance(value, Tensor)}


def refuse_compression(path: Path) -> None:
    """Raise ValueError for a zip file with compressed entries: torch writes none, and few bytes may unpack to many."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("has compressed entries")
