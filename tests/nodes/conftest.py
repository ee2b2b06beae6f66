"""The pack inside this interpreter, for tests that need ComfyUI's code and no server."""

import importlib
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

FOLDERS = ("models", "input", "output", "user", "temp")


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The ComfyUI checkout that COMFYUI_PATH names."""
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    path = Path(os.environ["COMFYUI_PATH"]).resolve()
    assert (path / "main.py").is_file(), f"COMFYUI_PATH={path} has no main.py"
    return path


@pytest.fixture(scope="session")
def pack(comfyui, tmp_path_factory) -> ModuleType:
    """This pack as the package `latentsync`, on the CPU, with empty folders of its own in place of ComfyUI's.

    Its library is `latentsync.latentsync_core`, apart from the `latentsync_core` that other tests import: take errors
    and dataclasses that are compared with the nodes' from there (`importlib.import_module`).
    """
    from pack_in_process import PACK, load_pack

    base = tmp_path_factory.mktemp("comfyui")
    os.environ["LATENTSYNC_CACHE"] = str(base / "cache")
    for name in FOLDERS:
        (base / name).mkdir()
    try:
        loaded = load_pack(comfyui, base)
        importlib.import_module("comfy.sd")  # needs what a running host needs, where the nodes' list needs less
        return loaded
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(PACK):
            raise
        pytest.skip(f"this interpreter lacks {error.name}, which ComfyUI needs; run pytest with ComfyUI's own")


@pytest.fixture(scope="session")
def node_classes(pack) -> dict[str, type]:
    """The nodes by their id."""
    from pack_in_process import node_classes

    return node_classes(pack)


@pytest.fixture(scope="session")
def narrow(pack) -> SimpleNamespace:
    """`unet()` and `checkpoint()`: a network of the published shape, a tenth as wide, with seeded weights."""
    core = f"{pack.__name__}.latentsync_core"
    unets, seeded = importlib.import_module(f"{core}.models.unet"), importlib.import_module("seeded")

    def unet():
        network = unets.UNet3DConditionModel(unets.UNetConfig.from_dict(seeded.NARROW_UNET))
        network.metadata = {"resolution": "128", "position_encoding": "off"}
        return seeded.seed_weights(network, prefix="narrow.").requires_grad_(False)

    def checkpoint():
        network = unet()
        return unets.Checkpoint(Path("narrow"), network.state_dict(), network.config, network.metadata)

    return SimpleNamespace(unet=unet, checkpoint=checkpoint)
