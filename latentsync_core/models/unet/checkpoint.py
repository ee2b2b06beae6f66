"""UNet checkpoints on disk: the published .pt layouts, safetensors with metadata, and errors for any other file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...errors import LatentSyncError
from ...file_names import utf8_path, valid_text
from ..safetensors_header import METADATA_PREFIX
from ..tensor_file import TensorFile, fits, read_tensors, refuse_more_layers, refusing_misfits
from .config import MUSETALK_CHANNELS, MotionModuleConfig, UNetConfig
from .model import UNet3DConditionModel

# Files that users choose by mistake, recognised by a key that only that kind of file has.
FOREIGN_KEYS = {
    "a LoRA": ("lora_up", "lora_down", "lora_A", "lora_B", ".alpha"),
    "a full Stable Diffusion checkpoint": ("model.diffusion_model.", "cond_stage_model."),
    "a VAE": ("quant_conv.", "decoder.up_blocks.", "decoder.up.", "first_stage_model."),
    "a Whisper model": ("encoder.positional_embedding", "decoder.token_embedding"),
    "a SyncNet": ("audio_encoder.", "visual_encoder."),
    "an original-format Stable Diffusion UNet": ("input_blocks.", "output_blocks."),
    "a text encoder": ("text_model.",),
}
GENERATOR_NAMES = {"latentsync": "LatentSync", "musetalk": "MuseTalk"}
TEXT_WIDTHS = (768, 1024)  # of the cross-attention in Stable Diffusion 1 and 2: such a UNet attends to text


@dataclass(frozen=True)
class Checkpoint:
    """A UNet's tensors, configuration and metadata.

    metadata: the file's strings; sampling reads how it was conditioned (`conditioning.TrainedConditioning`) and its
    `resolution` (pixels). Published files record neither.
    """

    path: Path
    state_dict: dict[str, Tensor]
    config: UNetConfig
    metadata: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path | str, generator: str | None = None) -> Checkpoint:
    """Read a UNet checkpoint and find out its configuration: from its metadata, else from its tensors' shapes.

    generator: "latentsync" or "musetalk", whose UNet is needed; None = either.
    Raises LatentSyncError when the file is something else (a VAE, a LoRA, an SD-1.5 UNet, a text file) or its tensors
    do not fit: how many are missing, unexpected or mis-shaped, and the first three of each.
    """
    file = read_tensors(path)
    refuse_foreign(file.path, file.tensors)
    with refusing_misfits(file.path, "UNet of LatentSync or MuseTalk"):
        config = stated_config(file) or infer_config(file.path, file.tensors)
        refuse_other_generator(file.path, config, generator)
        refuse_more_layers(file, config.layers_per_block)
        refuse_more_layers(file, config.motion_module_kwargs.num_transformer_block)
        refuse_misfit(file.path, file.tensors, config)
    return Checkpoint(file.path, file.tensors, config, file.about)


def load_unet(
    path: Path | str,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    generator: str | None = None,
) -> UNet3DConditionModel:
    """Load a UNet of LatentSync 1.5 or 1.6 or of MuseTalk 1.0 or 1.5, or a narrower one, ready to predict.

    dtype: float32, bfloat16 or float16; None keeps the file's own. Position tables stay float32.
    generator: as of `read_checkpoint`.
    Returns the model in eval mode with its file's strings in ``model.metadata``.
    Raises LatentSyncError as `read_checkpoint` does.
    """
    checkpoint = read_checkpoint(path, generator)
    with torch.device("meta"):
        model = UNet3DConditionModel(checkpoint.config)
    model.load_state_dict(checkpoint.state_dict, assign=True)
    # One tensor at a time, so that a dtype change never holds the network twice.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(device=device, dtype=dtype)
        parameter.requires_grad_(False)
    for module in model.modules():
        for name, table in module.named_buffers(recurse=False):
            setattr(module, name, table.to(device=device, dtype=torch.float32))
    model.metadata = checkpoint.metadata
    return model.eval()


def save_unet(model: UNet3DConditionModel, path: Path | str, metadata: Mapping[str, str] | None = None) -> None:
    """Write a UNet as safetensors with its configuration and `metadata` (strings), which loading needs."""
    write_checkpoint(Checkpoint(Path(path), model.state_dict(), model.config, dict(metadata or {})))


def write_checkpoint(checkpoint: Checkpoint) -> None:
    """Write tensors, configuration and metadata (strings) as the safetensors file `checkpoint.path`.

    Raises OSError or safetensors.SafetensorError where the disk takes no more.
    """
    strings = {"config": json.dumps(checkpoint.config.to_dict()), **checkpoint.metadata}
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.state_dict.items()}
    about = {METADATA_PREFIX + name: valid_text(value) for name, value in strings.items()}
    with utf8_path(checkpoint.path) as openable:
        save_file(tensors, openable, about)


def stated_config(file: TensorFile) -> UNetConfig | None:
    """The configuration that the file states, None where it states none. Raises LatentSyncError naming the file."""
    stated = file.mapping("config")
    try:
        return UNetConfig.from_dict(stated) if stated else None
    except (LatentSyncError, TypeError, ValueError) as error:
        raise LatentSyncError(f"{file.path}: {error}") from error


def refuse_foreign(path: Path, state_dict: Mapping[str, Tensor]) -> None:
    """Raise LatentSyncError naming the kind of file where the keys show that it is no UNet of a generator."""
    needed = "a LatentSync UNet (latentsync_unet.pt, about 5 GB) or MuseTalk UNet (about 3.4 GB) is needed"
    for kind, patterns in FOREIGN_KEYS.items():
        found = next((key for key in state_dict for pattern in patterns if pattern in key), None)
        if found is not None:
            raise LatentSyncError(f"{path} is {kind} (it has the key {found}); {needed}.")
    if "conv_in.weight" not in state_dict:
        first = ", ".join(list(state_dict)[:3])
        raise LatentSyncError(f"{path} has {len(state_dict)} tensors but no conv_in.weight (first: {first}); {needed}.")
    channels = input_channels(state_dict)
    attends_to_text = attention_width(state_dict) in TEXT_WIDTHS
    if channels in (4, 9) or (channels == MUSETALK_CHANNELS and attends_to_text):
        raise LatentSyncError(
            f"{path} is a Stable Diffusion UNet ({channels} input channels, no motion modules); {needed}."
        )


def refuse_other_generator(path: Path, config: UNetConfig, generator: str | None) -> None:
    """Raise LatentSyncError naming what the file is where its UNet is not the one of `generator`; None = any."""
    if generator in (None, config.generator):
        return
    found, needed = (GENERATOR_NAMES[name] for name in (config.generator, generator))
    raise LatentSyncError(
        f"{path} is a {found} UNet ({config.in_channels} input channels); a {needed} UNet is needed here: choose one, "
        f"or run this one with --generator {config.generator}."
    )


def input_channels(state_dict: Mapping[str, Tensor]) -> int | None:
    """What the input convolution of a network without motion modules takes; None where it has motion modules."""
    shape = state_dict["conv_in.weight"].shape
    has_motion = any(".motion_modules." in key for key in state_dict)
    return None if has_motion or len(shape) < 2 else shape[1]


def attention_width(state_dict: Mapping[str, Tensor]) -> int | None:
    """Channels of the tokens attended to; None where there is no cross-attention."""
    keys = next((t for k, t in state_dict.items() if k.endswith("attn2.to_k.weight")), None)
    return None if keys is None else keys.shape[-1]


def infer_config(path: Path, state_dict: Mapping[str, Tensor]) -> UNetConfig:
    """Read widths, depth and motion modules off the tensors' shapes; heads and groups are as published.

    Shapes cannot tell 1.5 from 1.6, nor the number of heads: a narrow model with other heads needs metadata.
    """

    def count(prefix: str) -> int:
        return len({key[len(prefix) :].split(".")[0] for key in state_dict if key.startswith(prefix)})

    def present(prefix: str) -> bool:
        return any(key.startswith(prefix) for key in state_dict)

    levels = range(count("down_blocks."))
    last_resnet = "down_blocks.{}.resnets.0.conv2.weight"
    if not levels or any(last_resnet.format(level) not in state_dict for level in levels):
        raise LatentSyncError(f"{path} lacks the blocks of a UNet; a complete UNet checkpoint is needed.")
    width, is_musetalk = attention_width(state_dict), input_channels(state_dict) == MUSETALK_CHANNELS
    table = next((t for k, t in state_dict.items() if k.endswith("pos_encoder.pe")), None)
    null = state_dict.get("null_audio_tokens")
    top = len(levels) - 1
    return UNetConfig(
        in_channels=MUSETALK_CHANNELS if is_musetalk else UNetConfig.in_channels,
        block_out_channels=tuple(state_dict[last_resnet.format(level)].shape[0] for level in levels),
        layers_per_block=count("down_blocks.0.resnets."),
        down_block_types=tuple(
            "CrossAttnDownBlock3D" if present(f"down_blocks.{i}.attentions.") else "DownBlock3D" for i in levels
        ),
        up_block_types=tuple(
            "CrossAttnUpBlock3D" if present(f"up_blocks.{i}.attentions.") else "UpBlock3D" for i in levels
        ),
        cross_attention_dim=width or UNetConfig.cross_attention_dim,
        add_audio_layer=width is not None,
        use_motion_module=any(".motion_modules." in key for key in state_dict),
        motion_module_resolutions=tuple(2**i for i in levels if present(f"up_blocks.{top - i}.motion_modules.")),
        motion_module_mid_block=present("mid_block.motion_modules."),
        motion_module_decoder_only=not any(present(f"down_blocks.{i}.motion_modules.") for i in levels),
        motion_module_kwargs=MotionModuleConfig(
            temporal_position_encoding=table is not None,
            temporal_position_encoding_max_len=24 if table is None else table.shape[1],
        ),
        null_audio_tokens=0 if null is None else len(null),
    )


def refuse_misfit(path: Path, state_dict: Mapping[str, Tensor], config: UNetConfig) -> None:
    """Raise LatentSyncError with the count and the first three of missing, unexpected and mis-shaped tensors."""
    with torch.device("meta"):
        expected = UNet3DConditionModel(config).state_dict()
    faults = {
        "missing": [key for key in expected if key not in state_dict],
        "unexpected": [key for key in state_dict if key not in expected],
        "mis-shaped": [
            f"{key} {described(state_dict[key])} instead of {described(tensor)}"
            for key, tensor in expected.items()
            if key in state_dict and not fits(state_dict[key], tensor)
        ],
    }
    if any(faults.values()):
        listed = "; ".join(f"{len(keys)} {kind} ({', '.join(keys[:3])})" for kind, keys in faults.items() if keys)
        raise LatentSyncError(
            f"{path} does not fit a {GENERATOR_NAMES[config.generator]} UNet: {listed}; of {len(expected)} tensors "
            f"every one must be there: download the checkpoint again or choose another file."
        )


def described(tensor: Tensor) -> str:
    """A tensor's shape, and its type where it is no real number."""
    shape = tuple(tensor.shape)
    return f"{shape}" if tensor.is_floating_point() else f"{shape} {tensor.dtype}".replace("torch.", "")
