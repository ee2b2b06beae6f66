"""A published UNet as safetensors in half the size: its float32 weights rounded to float16, and that recorded.

What is rounded: every weight, to the nearest float16 (ties to even), as loading the published file in fp16 does; loaded
in fp16 the two are equal, bit for bit. What stays: the position tables of the motion modules, float32 as published.
Whisper is published in fp16 and the VAE as safetensors; they stay as they are.
"""

import os
import re
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from ..atomic_write import atomic_write
from ..errors import LatentSyncError
from ..progress import (
    CheckCancelled,
    OnProgress,
    OnStageProgress,
    ignore_progress,
    ignore_stage_progress,
    never_cancelled,
)
from .catalog import MUSETALK_UNETS, NATIVE_RESOLUTION, SOURCE_SHA256, ModelFile, identify_musetalk, is_fp16_copy
from .download import download_to, fetch_part, part_of, require_disk_space, unwritable
from .safetensors_header import METADATA_PREFIX
from .unet.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from .unet.model import UNet3DConditionModel

ROUNDING = "float32 weights to float16, to nearest, ties to even; position tables float32"


def download_fp16(
    model: ModelFile,
    target: Path,
    *,
    published: Path | None,
    keep_published: bool,
    on_progress: OnStageProgress = ignore_stage_progress,
    check_cancelled: CheckCancelled = never_cancelled,
    endpoint: str | None = None,
    token: str | None = None,
) -> Path:
    """Make the fp16 copy of `model` beside `target`, fetching the published file where it is not there; its path.

    Args:
        model: with an `fp16_name`.
        target: where the published file would be.
        published: where it already is, whole; None = it is fetched. This one stays.
        keep_published: whether one that is fetched stays too, as `target`.
        on_progress: stages "download" in bytes and "round" in tensors.
        check_cancelled, endpoint, token: as of `download.download`.

    Raises LatentSyncError as `download.download`, and where another file has the copy's name.
    """
    copy = target.with_name(model.fp16_name or "")
    if copy.is_file() and is_fp16_copy(model, copy):
        return copy
    if copy.exists():
        raise LatentSyncError(
            f"{copy} exists, but is not the fp16 copy of {model.repo_id}'s {model.filename}, or is damaged: move it "
            "away and run the download again."
        )
    source = published
    if source is None:
        fetched = download_to if keep_published else fetch_part
        source = fetched(model, target, partial(on_progress, "download"), check_cancelled, endpoint, token)
    write_fp16(model, source, copy, partial(on_progress, "round"), check_cancelled)
    if source == part_of(target):
        source.unlink()
    return copy


def write_fp16(
    model: ModelFile,
    source: Path,
    copy: Path,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> None:
    """Round the published file `source` into the safetensors file `copy`, which appears whole or not at all.

    Memory for the copy is taken meanwhile. Raises LatentSyncError where `source` is no UNet, the disk is full, or a
    weight is beyond float16.
    """
    checkpoint = read_checkpoint(source)
    require_disk_space(model, copy.parent, model.size // 2)
    with torch.device("meta"):
        tables = {name for name, _ in UNet3DConditionModel(checkpoint.config).named_buffers()}
    tensors: dict[str, Tensor] = {}
    for done, (name, tensor) in enumerate(checkpoint.state_dict.items(), start=1):
        check_cancelled()
        tensors[name] = tensor if name in tables else rounded(source, name, tensor)
        on_progress(done, len(checkpoint.state_dict))
    about = {**provenance(model), "rounding": ROUNDING}
    try:
        with atomic_write(copy) as temporary:
            write_checkpoint(Checkpoint(temporary, tensors, checkpoint.config, about))
    except (OSError, SafetensorError) as error:
        raise unwritable(model, copy.parent, disk_error(error)) from error


def rounded(source: Path, name: str, tensor: Tensor) -> Tensor:
    """The nearest float16 of each weight. Raises LatentSyncError where a finite weight would become infinite."""
    half = tensor.to(torch.float16)
    if not torch.equal(torch.isfinite(half), torch.isfinite(tensor)):
        raise LatentSyncError(
            f"{source}: {name} has weights beyond float16's 65504; keep the file as it was published."
        )
    return half


def provenance(model: ModelFile) -> dict[str, str]:
    """What an fp16 copy records of its source, and what the published file's size told of it."""
    about = {
        "source": f"{model.repo_id}/{model.filename} at {model.revision}",
        SOURCE_SHA256.removeprefix(METADATA_PREFIX): model.sha256,
        "licence": model.licence,
    }
    if model.release is not None:
        about["resolution"] = str(NATIVE_RESOLUTION[model.release])
    if model in MUSETALK_UNETS:
        about["musetalk_release"] = str(identify_musetalk(model.name))
    return about


def disk_error(error: OSError | SafetensorError) -> OSError:
    """What the system said when the disk took no more; safetensors hands its error on as text."""
    if isinstance(error, OSError):
        return error
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))
