"""Weights that depend on a tensor's name alone, so that a network without a checkpoint is the same everywhere.

The same draw fills the networks of the reference tensors in tests/golden (its README states the recipe).
"""

import zlib

import numpy as np
import torch

POSITION_TABLES = ("pos_encoder.pe", "positional_embedding")
NARROW_UNET = {"block_out_channels": [32, 64, 64, 64], "layers_per_block": 1, "cross_attention_dim": 48}
"""The published UNet's shape, a tenth as wide, as `UNetConfig.from_dict` takes it."""


def draw(name: str, *shape: int) -> np.ndarray:
    """Standard normal float32 numbers of `shape` that depend on `name` and `shape` only."""
    # RandomState's stream is frozen by numpy for ever, unlike default_rng's.
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)


def seeded_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 weight called `name`: fan-in scaled matrices, norm weights near one, small biases."""
    values = draw(name, *shape)
    if len(shape) >= 2:
        return values / np.float32(np.sqrt(np.prod(shape[1:])))
    if name.endswith("weight"):
        return np.float32(1) + np.float32(0.1) * values
    return np.float32(0.1) * values


@torch.no_grad()
def seed_weights(module: torch.nn.Module, prefix: str = "") -> torch.nn.Module:
    """Fill every floating tensor of `module` by `prefix` + its name, keep position tables, return it in eval mode."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not name.endswith(POSITION_TABLES):
            tensor.copy_(torch.from_numpy(seeded_tensor(prefix + name, tuple(tensor.shape))))
    return module.eval()
