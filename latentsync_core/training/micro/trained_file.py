"""Write a trained network to a file: half-precision tensors, with a record of their training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ...models.tensor_file import METADATA_PREFIX

ONE_PORTRAIT = "trained on renderings of one portrait and on synthetic voices only; it knows no other face"


def save_trained(path: Path | str, network: torch.nn.Module, about: Mapping[str, Any], history: list[dict]) -> Path:
    """Write `network` as float16 .safetensors at `path`, and its loss curve as .json beside it.

    about: entries of the header, JSON text unless they are strings; `tensor_file.read_tensors` gives them back.
    history: one dict per logged step. Returns the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    entries = {**about, "knows": ONE_PORTRAIT}
    strings = {METADATA_PREFIX + k: v if isinstance(v, str) else json.dumps(v) for k, v in entries.items()}
    save_file(tensors, path, strings)
    path.with_suffix(".json").write_text(json.dumps({**entries, "history": history}, indent=1))
    return path
