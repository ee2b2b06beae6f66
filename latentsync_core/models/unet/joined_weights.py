"""One matrix product in place of three: weights of q, k and v that lie one after the other in memory.

Where they lie is all that is remembered. So nothing goes stale: whoever moves a weight elsewhere, casts or replaces it
gets the three products again, and whoever changes it in place changes the one matrix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def join_weights(network: nn.Module) -> None:
    """Lay the weights of q, k and v of a network's self-attentions one after the other, for inference.

    Names, shapes and values stay, and no more memory is taken than before.
    """
    for module in network.modules():
        layers = [getattr(module, name, None) for name in ("to_q", "to_k", "to_v")]
        if are_plain(layers) and len({layer.weight.shape for layer in layers}) == 1:
            joined = torch.cat([layer.weight.detach() for layer in layers])
            for layer, part in zip(layers, joined.chunk(3), strict=True):
                layer.weight = nn.Parameter(part, requires_grad=False)


def joined_weights(layers: Sequence[nn.Module]) -> Tensor | None:
    """The weights of layers (n, m) as one matrix (layers * n, m); None where they do not lie so, or are not plain.

    Also None where gradients are wanted, which would all go to the first layer, and while a compiler looks on, which
    knows no places in memory.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not are_plain(layers):
        return None
    first, *others = (layer.weight for layer in layers)
    if not first.is_contiguous() or any(weight.dtype != first.dtype for weight in others):
        return None
    storage, size = first.untyped_storage(), first.numel() * first.element_size()
    for place, weight in enumerate(others, 1):
        alike = weight.shape == first.shape and weight.untyped_storage().data_ptr() == storage.data_ptr()
        if not alike or weight.data_ptr() != first.data_ptr() + place * size:
            return None
    rows, columns = first.shape
    return first.as_strided((len(layers) * rows, columns), (columns, 1))


def are_plain(layers: Sequence[nn.Module | None]) -> bool:
    """Whether layers are torch's own, without bias; a host's may hold their weights elsewhere, or patched."""
    return all(type(layer) is nn.Linear and layer.bias is None for layer in layers)
