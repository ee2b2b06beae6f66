"""Fixtures every test may use: the reference tensors that ship with the tests and the seeded draws they rest on."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"
FOOTAGE = Path(__file__).parents[2] / "shared" / "media"  # real clips beside the checkout, absent in a user's clone


def draw(name: str, *shape: int) -> np.ndarray:
    """Standard normal float32 numbers that depend on `name` and `shape` only (golden/README.md)."""
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight called `name` in a seeded model: fan-in scaled matrices, norms near one, small biases."""
    values = draw(name, *shape)
    if len(shape) >= 2:
        return values / np.float32(np.sqrt(np.prod(shape[1:])))
    if name.endswith("weight"):
        return np.float32(1) + np.float32(0.1) * values
    return np.float32(0.1) * values


def seed_weights(module: torch.nn.Module, prefix: str = "") -> torch.nn.Module:
    """Fill every floating tensor of `module` by its name, leaving position tables as they are."""
    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and not name.endswith(("pos_encoder.pe", "positional_embedding")):
            tensor.copy_(torch.from_numpy(seeded(prefix + name, tuple(tensor.shape))))
    return module.eval()


@pytest.fixture(scope="session")
def golden():
    """Open a file of tests/golden: ``golden("face.npz")`` or ``golden("unet_small.json")``."""

    def open_golden(name: str):
        path = GOLDEN / name
        return json.loads(path.read_text()) if path.suffix == ".json" else np.load(path)

    return open_golden


@pytest.fixture(scope="session")
def footage():
    """The folder with the public demo clips; tests that need real footage are skipped by name without it."""
    if not FOOTAGE.is_dir():
        pytest.skip(f"no real footage at {FOOTAGE}")
    return FOOTAGE
