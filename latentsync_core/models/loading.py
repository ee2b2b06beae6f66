"""Load the networks of a run: UNet, VAE and Whisper that fit one another, on one device."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import LatentSyncError
from ..options import PRECISIONS, PUBLISHED_WIDTH
from ..student import Student
from .catalog import (
    NATIVE_RESOLUTION,
    VAE_FT_MSE,
    WHISPER_TINY,
    ModelFile,
    find,
    identify_release,
    models_directory,
    newest_unet,
)
from .compiled import compile_network
from .embedded import EMBEDDED_NAME, embedded_models
from .unet import UNet3DConditionModel, load_unet, merge_lora
from .unet.joined_weights import join_weights
from .vae import AutoencoderCodec, LatentCodec, load_vae
from .whisper import WhisperEncoder, load_whisper

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FALLBACK_RESOLUTION = 256  # pixels, where a checkpoint does not record its own


@dataclass(frozen=True)
class Models:
    """The networks of a run.

    unet: any noise predictor of `diffusion.NoisePredictor`'s signature. codec: pixels to latents and back.
    resolution: face crop in pixels the UNet was trained at, None if unknown. sources: where each was loaded from, for
    the report. fallback: whether the UNet is the embedded one because there was no other: it then refuses every face
    but the one it knows.
    """

    unet: UNet3DConditionModel
    codec: LatentCodec
    whisper: WhisperEncoder
    device: torch.device = torch.device("cpu")
    resolution: int | None = None
    sources: dict[str, Any] = field(default_factory=dict)
    fallback: bool = False

    @property
    def student(self) -> Student | None:
        """How the UNet samples in few steps; None where it was not distilled. Errors name its file."""
        try:
            return Student.recorded(getattr(self.unet, "metadata", None) or {})
        except LatentSyncError as error:
            raise LatentSyncError(f"{self.sources.get('unet', 'The UNet')}: {error}") from error

    def working_resolution(self, asked: int | None) -> int:
        """The crop size to use; warns when `asked` is not the size the checkpoint was trained at."""
        return working_resolution(asked, self.resolution, self.sources.get("unet", "the checkpoint"))


def working_resolution(asked: int | None, native: int | None, name: Path | str) -> int:
    """The crop size in pixels for the checkpoint `name`: `asked`, else its `native` one; warns where they differ."""
    if asked is None:
        if native is None:
            log.warning(
                "Nothing tells at which resolution %s was trained; using %d px, pass 512 for LatentSync 1.6.",
                name,
                FALLBACK_RESOLUTION,
            )
        return native or FALLBACK_RESOLUTION
    if native is not None and asked != native:
        log.warning(
            "%d px was asked for, but %s was trained at %d px: at another size it loses lip sync, use %d.",
            asked,
            name,
            native,
            native,
        )
    return asked


def choose_device(name: str = "auto") -> torch.device:
    """ "auto" takes CUDA, then Apple's MPS, then the CPU; or any torch device name."""
    if name != "auto":
        try:
            device = torch.device(name)
            torch.zeros(1, device=device).item()  # a device may have a name but no driver
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise LatentSyncError(f"There is no device {name!r} ({reason}); use auto, cpu, cuda or mps.") from error
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """fp32, bf16 or fp16; "auto" is fp16 on CUDA, as the reference runs, and fp32 elsewhere."""
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise LatentSyncError(f"Precision {name!r} is unknown; choose {', '.join(PRECISIONS)}.")
    return DTYPES[name]


def load_models(
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
) -> Models:
    """Load what a run needs; what is not named is looked for in the models folder, never on the network.

    Args:
        checkpoint: a UNet file, or "embedded"; None = the newest published UNet in the folder, and the embedded model
            where there is none, as Models.fallback.
        vae, whisper: files; None = the published ones for a published UNet, the embedded ones for a narrow UNet.
        directory: the models folder; None = as `models_directory` finds it.
        lora: a LoRA file whose change to the UNet is added lora_strength times.
        lora_strength: 1 = as trained.
        device: "auto" or a torch device name, see `choose_device`.
        precision: "auto", "fp32", "bf16" or "fp16", see `choose_dtype`.
        compiling: "off", "on" or "graphs", see `compile_network`.

    Raises LatentSyncError naming the missing or unfit file.
    """
    target = choose_device(device)
    dtype = choose_dtype(precision, target)
    folder = models_directory(directory)
    unet_path = _choose_unet(checkpoint, folder)
    if unet_path is None:
        unet, codec, encoder = embedded_models()
        unet, sources = unet.to(dtype), {"unet": EMBEDDED_NAME}
    else:
        unet, sources = load_unet(unet_path, dtype=dtype, generator="latentsync"), {"unet": unet_path}
        codec = encoder = None
        if unet.config.block_out_channels[0] < PUBLISHED_WIDTH:
            _, codec, encoder = embedded_models()
    if lora:
        sources["lora"] = f"{lora}, strength {lora_strength:g}"
    sources["vae"] = sources["whisper"] = EMBEDDED_NAME
    if vae or codec is None:
        sources["vae"] = vae or required_file(VAE_FT_MSE, folder)
        codec = AutoencoderCodec(load_vae(sources["vae"], dtype=dtype))
    if whisper or encoder is None:
        sources["whisper"] = whisper or required_file(WHISPER_TINY, folder)
        encoder = load_whisper(sources["whisper"])
    check_width(unet, encoder, sources)
    codec.autoencoder.to(target)
    return Models(
        unet=ready_unet(unet, target, lora, lora_strength, compiling),
        codec=codec,
        whisper=encoder.to(target),
        device=target,
        resolution=native_resolution(unet.metadata, unet_path),
        sources={
            **sources,
            "device": str(target),
            "precision": str(dtype).removeprefix("torch."),
            "compile": compiling,
        },
        fallback=unet_path is None and checkpoint is None,
    )


def ready_unet(
    unet: UNet3DConditionModel, device: torch.device, lora: Path | str | None, lora_strength: float, compiling: str
) -> UNet3DConditionModel:
    """A loaded UNet as runs use it: with its LoRA, on its device, weights joined, compiled where that is asked for."""
    if lora:
        merge_lora(unet, lora, lora_strength)
    join_weights(unet.to(device))
    compile_network(unet, compiling)
    return unet


def _choose_unet(checkpoint: Path | str | None, folder: Path) -> Path | None:
    """The UNet file to load; None stands for the embedded model."""
    if checkpoint == "embedded":
        return None
    if checkpoint is not None:
        return Path(checkpoint)
    found = newest_unet(folder)
    if found is None:
        log.warning(
            "No LatentSync checkpoint in %s: using the %s; for real lip-sync: python -m latentsync_core download 1.6",
            folder,
            EMBEDDED_NAME,
        )
    return found


def required_file(model: ModelFile, folder: Path) -> Path:
    """Where a published file is below the models folder. Raises LatentSyncError saying how to get it."""
    path = find(model, folder)
    if path is None:
        raise LatentSyncError(
            f"{model.name} ({model.size / 1e6:,.0f} MB, {model.purpose}) is not in {folder}; get it with "
            f"`python -m latentsync_core download` or from {model.page} and put it at {folder / model.target}."
        )
    return path


def check_width(unet: UNet3DConditionModel, encoder: WhisperEncoder, sources: Mapping[str, Any]) -> None:
    """LatentSyncError unless the features are as wide as the UNet's cross-attention; sources: the files' names."""
    wanted = unet.config.cross_attention_dim
    if encoder.width != wanted:
        raise LatentSyncError(
            f"{sources['whisper']} gives features {encoder.width} wide, {sources['unet']} was trained on {wanted}; "
            f"{'Whisper tiny is needed' if wanted == 384 else 'name the Whisper it was trained with'}."
        )


def native_resolution(metadata: Mapping[str, Any], path: Path | None) -> int | None:
    """The crop size a checkpoint was trained at: by its metadata, else by its release, else None."""
    stated = metadata.get("resolution")
    if stated is not None:
        if not str(stated).isdigit():
            raise LatentSyncError(f"{path}: it records resolution {stated!r}; a number of pixels is needed.")
        return int(stated)
    release = identify_release(path) if path is not None else None
    return NATIVE_RESOLUTION.get(release)
