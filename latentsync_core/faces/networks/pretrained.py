"""The face networks' weights that ship with the package (licence and origin: weights/NOTICE)."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from ...file_names import utf8_path

WEIGHTS = Path(__file__).parent / "weights"
FULL_RANGE = "blazeface_full_range.safetensors"
SHORT_RANGE = "blazeface_short_range.safetensors"
FACE_MESH = "face_mesh.safetensors"


def load_pretrained(network: torch.nn.Module, name: str, device: torch.device | str = "cpu") -> torch.nn.Module:
    """Fill `network` from the shipped file `name`; returns it in evaluation mode, float32, without gradients.

    The files hold float16 values as their source does; the arithmetic is float32.
    """
    with utf8_path(WEIGHTS / name) as place:
        state = {key: value.float() for key, value in load_file(place).items()}
    network.load_state_dict(state)
    return network.eval().requires_grad_(False).to(device)
