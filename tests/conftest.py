"""Fixtures every test may use: the reference tensors shipped with the tests, and real footage where there is some."""

import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"
FOOTAGE = Path(__file__).parents[2] / "shared" / "media"  # beside a development checkout only


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
        pytest.skip(f"no real footage at {FOOTAGE.name}/ beside the checkout")
    return FOOTAGE
