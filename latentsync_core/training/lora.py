"""Low-rank adaptation (arXiv 2106.09685) of chosen layers, in a file that ComfyUI's stock LoRA loader takes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import LatentSyncError
from ..file_names import utf8_path, valid_text
from ..models.tensor_file import METADATA_PREFIX, read_tensors
from ..models.unet.lora_file import (
    ALPHA,
    DOWN,
    HOST_PREFIX,
    UP,
)


class LoraLayer(nn.Module):
    """A frozen Linear or Conv2d plus `alpha / rank * up(down(x))`; initially equal to the layer, since `up` is zero."""

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float, generator: torch.Generator):
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.active = True  # False: the layer as it was, see `without_lora`
        factory_kwargs = {"device": base.weight.device, "dtype": torch.float32}
        inputs, outputs = base.weight.shape[1:], base.weight.shape[0]
        down = torch.randn(rank, *inputs, generator=generator) / inputs.numel() ** 0.5
        self.down = nn.Parameter(down.to(**factory_kwargs))  # (rank, inputs) or (rank, inputs, k, k)
        self.up = nn.Parameter(torch.zeros(outputs, rank, *(1 for _ in inputs[1:]), **factory_kwargs))

    @property
    def weight(self) -> nn.Parameter:
        """Of the layer as it was: the network asks its first one for dtype and device."""
        return self.base.weight

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        scale = self.alpha / len(self.down)
        if isinstance(self.base, nn.Linear):
            return self.base(x) + scale * F.linear(F.linear(x, self.down), self.up)
        base = self.base
        hidden = F.conv2d(x, self.down, None, base.stride, base.padding, base.dilation)
        return base(x) + scale * F.conv2d(hidden, self.up)


def add_lora(
    unet: nn.Module, rank: int, alpha: float | None, targets: Sequence[str], generator: torch.Generator
) -> dict[str, LoraLayer]:
    """Wrap every Linear and Conv2d whose name contains one of `targets`, freeze all else; returns layers by name.

    Args:
        unet: changed in place.
        rank: of the matrices, at least 1.
        alpha: numerator of the scale alpha / rank; None = rank.
        targets: parts of layer names.
        generator: of the initial `down` matrices, on the CPU.

    Raises LatentSyncError when no layer's name matches.
    """
    chosen = [
        name
        for name, module in unet.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and any(target in name for target in targets)
    ]
    if not chosen:
        raise LatentSyncError(
            f"No layer's name contains {' or '.join(targets)}; try attn2.to_, attn1.to_, ff.net. or motion_modules."
        )
    if rank < 1:
        raise LatentSyncError(f"The LoRA rank is {rank}; at least 1 is needed, 16 is usual.")
    unet.requires_grad_(False)
    layers = {}
    for name in chosen:
        parent, _, leaf = name.rpartition(".")
        owner = unet.get_submodule(parent)
        layers[name] = LoraLayer(getattr(owner, leaf), rank, rank if alpha is None else alpha, generator)
        setattr(owner, leaf, layers[name])
    return layers


@contextmanager
def without_lora(layers: Mapping[str, LoraLayer]) -> Iterator[None]:
    """A context in which the network is the one that the LoRA was added to."""
    for layer in layers.values():
        layer.active = False
    try:
        yield
    finally:
        for layer in layers.values():
            layer.active = True


def lora_tensors(layers: Mapping[str, LoraLayer]) -> dict[str, Tensor]:
    """The layers under the names of the host's generic LoRA format."""
    tensors = {}
    for name, layer in layers.items():
        key = HOST_PREFIX + name
        tensors[key + UP] = layer.up.detach().cpu().contiguous()
        tensors[key + DOWN] = layer.down.detach().cpu().contiguous()
        tensors[key + ALPHA] = torch.tensor(float(layer.alpha))
    return tensors


def save_lora(layers: Mapping[str, LoraLayer], path: Path | str, metadata: Mapping[str, str]) -> None:
    """Write the layers as safetensors with `metadata` (strings)."""
    about = {METADATA_PREFIX + name: valid_text(value) for name, value in metadata.items()}
    with utf8_path(path) as openable:
        save_file(lora_tensors(layers), openable, about)


@torch.no_grad()
def read_lora(layers: Mapping[str, LoraLayer], path: Path | str) -> None:
    """Set the layers to what `save_lora` wrote of such layers. Raises LatentSyncError where they differ."""
    file = read_tensors(path)
    expected = lora_tensors(layers)
    for key, tensor in expected.items():
        if key not in file.tensors or file.tensors[key].shape != tensor.shape:
            found = tuple(file.tensors[key].shape) if key in file.tensors else "nothing"
            raise LatentSyncError(
                f"{path} has {found} at {key} where {tuple(tensor.shape)} is needed; give the rank and the targets it "
                f"was trained with (model.lora_rank, model.lora_targets)."
            )
    for name, layer in layers.items():
        layer.up.copy_(file.tensors[HOST_PREFIX + name + UP])
        layer.down.copy_(file.tensors[HOST_PREFIX + name + DOWN])
