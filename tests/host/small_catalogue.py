"""The published files, but small: a host's catalogue has other sizes and hashes, and a loopback Hub serves them."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from host_server import PACK
from loopback_hub import Hub
from seeded import NARROW_UNET, seed_weights

from latentsync_core.models.catalog import UNET_1_6, VAE_FT_MSE, WHISPER_TINY, ModelFile
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig

VAE_BYTES = 600_000


def publish_small_files(hub: Hub, base: Path) -> dict[str, bytes]:
    """Let `hub` serve a narrow UNet, and bytes for the Whisper and the VAE; returns them by the files' names.

    base: a host's base folder, whose copy of this pack takes them for the published ones.
    """
    contents = {
        UNET_1_6: narrow_unet(),
        WHISPER_TINY: np.random.RandomState(1).bytes(VAE_BYTES // 2),
        VAE_FT_MSE: np.random.RandomState(2).bytes(VAE_BYTES),
    }
    catalogue = base / "custom_nodes" / PACK / "latentsync_core" / "models" / "catalog.py"
    text = catalogue.read_text(encoding="utf-8")
    for model, content in contents.items():
        hub.publish(model, content)
        text = renumbered(text, model, content)
    catalogue.write_text(text, encoding="utf-8")
    return {model.name: content for model, content in contents.items()}


def small(model: ModelFile, content: bytes) -> ModelFile:
    """`model` as the host's copy of the catalogue has it."""
    return replace(model, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def renumbered(text: str, model: ModelFile, content: bytes) -> str:
    """The catalogue's text with the size and the hash of `content` for `model`."""
    changed = small(model, content)
    assert text.count(f"size={model.size:_}") == 1 and text.count(model.sha256) == 1
    return text.replace(f"size={model.size:_}", f"size={changed.size}").replace(model.sha256, changed.sha256)


def narrow_unet() -> bytes:
    """A seeded UNet in the layout of the published .pt, position tables included."""
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(NARROW_UNET)), prefix="published.")
    file = io.BytesIO()
    torch.save({"global_step": 0, "state_dict": unet.state_dict()}, file)
    return file.getvalue()
