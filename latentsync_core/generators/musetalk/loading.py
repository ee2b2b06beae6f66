"""Load MuseTalk's networks: its UNet, and the VAE and Whisper that it shares with LatentSync."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import LatentSyncError
from ...models.catalog import MUSETALK_UNETS, VAE_FT_MSE, WHISPER_TINY, find, identify_musetalk, models_directory
from ...models.embedded import EMBEDDED_NAME, MUSETALK, VAE, WHISPER
from ...models.loading import (
    Models,
    check_width,
    choose_device,
    choose_dtype,
    native_resolution,
    ready_unet,
    required_file,
)
from ...models.unet import load_unet
from ...models.vae import AutoencoderCodec, load_vae
from ...models.whisper import load_whisper
from ...options import MUSETALK_RELEASES, PUBLISHED_WIDTH
from .generator import MuseTalk

log = logging.getLogger(__name__)

RESOLUTION = 256  # pixels, at which both releases were trained


def load_musetalk(
    checkpoint: Path | str | None = None,
    *,
    vae: Path | str | None = None,
    whisper: Path | str | None = None,
    directory: Path | str | None = None,
    lora: Path | str | None = None,
    lora_strength: float = 1.0,
    device: str = "auto",
    precision: str = "auto",
    compiling: str = "off",
) -> MuseTalk:
    """Load what a run with MuseTalk needs; what is not named is looked for in the models folder, never on the network.

    Args:
        checkpoint: a UNet file, or "embedded"; None = release 1.5, else 1.0, from the folder.
        vae, whisper: files; None = the published ones for a published UNet, the embedded ones for a narrow UNet.
        directory, lora, lora_strength, device, precision, compiling: as of `models.loading.load_models`.

    Raises LatentSyncError naming the missing or unfit file.
    """
    target, folder = choose_device(device), models_directory(directory)
    dtype = choose_dtype(precision, target)
    path = choose_unet(checkpoint, folder)
    unet = load_unet(path, dtype=dtype, generator="musetalk")
    sources: dict[str, Any] = {"unet": named(path), "release": release_of(unet.metadata, path)}
    if lora:
        sources["lora"] = f"{lora}, strength {lora_strength:g}"
    narrow = unet.config.block_out_channels[0] < PUBLISHED_WIDTH
    vae_path = vae or (VAE if narrow else required_file(VAE_FT_MSE, folder))
    whisper_path = whisper or (WHISPER if narrow else required_file(WHISPER_TINY, folder))
    sources |= {"vae": named(vae_path), "whisper": named(whisper_path)}
    encoder = load_whisper(whisper_path, generator="musetalk")
    check_width(unet, encoder, sources)
    models = Models(
        unet=ready_unet(unet, target, lora, lora_strength, compiling),
        codec=AutoencoderCodec(load_vae(vae_path, dtype=dtype, device=target)),
        whisper=encoder.to(target),
        device=target,
        resolution=resolution_of(unet.metadata, path),
        sources={
            **sources,
            "device": str(target),
            "precision": str(dtype).removeprefix("torch."),
            "compile": compiling,
        },
    )
    return MuseTalk(models, sources["release"])


def named(path: Path | str) -> Path | str:
    """A network's file as the report names it."""
    return EMBEDDED_NAME if path in (MUSETALK, VAE, WHISPER) else path


def choose_unet(checkpoint: Path | str | None, folder: Path) -> Path:
    """The UNet file that `checkpoint` names, or the newer of the releases in the models folder.

    Raises LatentSyncError where none is named and there is none.
    """
    if checkpoint is not None:
        return MUSETALK if checkpoint == "embedded" else Path(checkpoint)
    found = next((path for model in MUSETALK_UNETS if (path := find(model, folder))), None)
    if found is None:
        raise LatentSyncError(
            f"There is no MuseTalk UNet in {folder} ({', '.join(model.target for model in MUSETALK_UNETS)}); get one "
            f"with `python -m latentsync_core download musetalk`, or name a file with --checkpoint."
        )
    return found


def resolution_of(metadata: Mapping[str, Any], path: Path) -> int:
    """The side of the square a UNet was trained on, pixels: by its metadata, else as published."""
    return native_resolution(metadata, path) if "resolution" in metadata else RESOLUTION


def release_of(metadata: Mapping[str, Any], path: Path) -> str:
    """Whose box a UNet was trained on, "1.0" or "1.5": by its metadata, else its file; 1.5 where nothing tells."""
    stated = metadata.get("musetalk_release")
    if stated not in (None, *MUSETALK_RELEASES):
        raise LatentSyncError(
            f"{path}: it records MuseTalk release {stated!r}; {' or '.join(MUSETALK_RELEASES)} is needed."
        )
    found = stated or identify_musetalk(path)
    if found is None:
        log.warning("Nothing tells which release of MuseTalk %s is; its crop is cut as that of 1.5.", path)
    return found or "1.5"
