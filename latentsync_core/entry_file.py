"""The file of a cached result: named tensors and a JSON text, held to a digest of both."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .file_names import utf8_path


def write_entry(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write CPU tensors, by name, and what JSON knows. Raises OSError where the disk fails."""
    # A format of whole tensors: of several that share memory each is written out.
    whole = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    text = json.dumps(about)
    with utf8_path(path) as place:
        try:
            save_file(whole, place, {"about": text, "sha256": digest_of(whole, text)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_entry(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON that `write_entry` was given; raises ValueError for a file that is damaged."""
    try:
        with utf8_path(path) as place, safe_open(place, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            notes = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from error
    text = notes.get("about", "")
    if digest_of(tensors, text) != notes.get("sha256"):
        raise ValueError("they do not match their digest")
    return tensors, json.loads(text)


def digest_of(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over the text and every tensor's name, kind and bytes."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}:".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()))
    return digest.hexdigest()
