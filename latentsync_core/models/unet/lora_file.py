"""LoRA files (arXiv 2106.09685) in the layout of ComfyUI's stock loader, added to a UNet's weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import LatentSyncError
from ...student import Student
from ..tensor_file import read_tensors

HOST_PREFIX = "diffusion_model."  # the UNet's name inside the host's MODEL
UP, DOWN, ALPHA = ".lora_up.weight", ".lora_down.weight", ".alpha"


@torch.no_grad()
def merge_lora(unet: nn.Module, path: Path | str, strength: float = 1.0) -> None:
    """Add a LoRA file to the weights of a UNet without LoRA layers, as the host's loader does.

    A student's LoRA makes the UNet a student, and its metadata say so from then on.
    Raises LatentSyncError for a file that is none, or that does not fit the UNet; nothing is added then.
    """
    file = read_tensors(path)
    names = [key.removesuffix(UP) for key in file.tensors if key.endswith(UP)]
    if not names:
        raise LatentSyncError(f"{file.path} holds no LoRA (no tensor ends with {UP}); choose a LoRA file.")
    parameters = dict(unet.named_parameters())
    weights = {name: parameters.get(f"{name.removeprefix(HOST_PREFIX)}.weight") for name in names}
    for name, weight in weights.items():
        if weight is None or not lora_fits(file.tensors, name, weight):
            raise LatentSyncError(
                f"{file.path} does not fit this UNet at {name}; use the checkpoint it was trained on."
            )
    student = Student.recorded(file.about)
    for name, weight in weights.items():
        up, down = file.tensors[name + UP].float(), file.tensors[name + DOWN].float()
        alpha = float(file.tensors.get(name + ALPHA, torch.tensor(float(len(down)))))
        change = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        weight += (strength * alpha / len(down) * change).to(weight)
    if student is not None:
        unet.metadata.update(student.metadata())


def lora_fits(tensors: Mapping[str, Tensor], name: str, weight: Tensor) -> bool:
    """Whether the matrices of the layer `name` are all there, real, and multiply to the size of `weight`."""
    up, down, alpha = tensors[name + UP], tensors.get(name + DOWN), tensors.get(name + ALPHA)
    if down is None or up.ndim < 2 or down.ndim < 2 or up.is_complex() or down.is_complex():
        return False
    if alpha is not None and (alpha.numel() != 1 or alpha.is_complex()):
        return False
    rank = len(down)
    return rank > 0 and up[0].numel() == rank and len(up) * down[0].numel() == weight.numel()
