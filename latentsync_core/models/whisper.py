"""Whisper's audio encoder, returning the hidden states of every layer; the text decoder is never built."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import LatentSyncError
from .tensor_file import (
    TensorFile,
    fits,
    read_tensors,
    refusing_misfits,
)
from .whisper_blocks import EncoderBlock, sinusoids

PREFIX = "encoder."  # of the encoder's tensors in openai-whisper's files
HEAD_CHANNELS = 64  # per attention head in every published Whisper
DIMENSIONS = {  # the constructor's argument -> its name in openai-whisper's `dims`
    "n_mels": "n_mels",
    "n_ctx": "n_audio_ctx",
    "n_state": "n_audio_state",
    "n_head": "n_audio_head",
    "n_layer": "n_audio_layer",
}


class WhisperEncoder(nn.Module):
    """openai-whisper's AudioEncoder, returning all hidden states (arXiv 2212.04356).

    Attributes n_mels, n_ctx (steps per block of 30 s), width, and layers (hidden states per step: the embedding and
    one per block).

    Args:
        n_mels: mel bands of the input.
        n_ctx: time steps of a block.
        n_state: width of the hidden states.
        n_head: attention heads.
        n_layer: transformer blocks.
        generator: whose features it gives, "latentsync" or "musetalk", see `forward`.
    """

    def __init__(
        self, n_mels: int, n_ctx: int, n_state: int, n_head: int, n_layer: int, *, generator: str = "latentsync"
    ):
        super().__init__()
        if generator not in ("latentsync", "musetalk"):
            raise ValueError(f"expected the generator latentsync or musetalk, got {generator!r}")
        self.generator = generator
        self.n_mels, self.n_ctx, self.width, self.layers = n_mels, n_ctx, n_state, n_layer + 1
        self.conv1 = nn.Conv1d(n_mels, n_state, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(n_state, n_state, kernel_size=3, stride=2, padding=1)
        self.register_buffer("positional_embedding", sinusoids(n_ctx, n_state))
        self.blocks = nn.ModuleList(EncoderBlock(n_state, n_head) for _ in range(n_layer))
        self.ln_post = nn.LayerNorm(n_state)

    @classmethod
    def from_dims(cls, dims: Mapping[str, int], generator: str = "latentsync") -> "WhisperEncoder":
        """Build the encoder of a Whisper model from its `dims` (the text decoder's numbers are ignored)."""
        missing = [name for name in DIMENSIONS.values() if name not in dims]
        if missing:
            raise LatentSyncError(f"Whisper dimensions lack {', '.join(missing)}; found {', '.join(dims)}.")
        sizes = {argument: int(dims[name]) for argument, name in DIMENSIONS.items()}
        return cls(**sizes, generator=generator).eval()

    def forward(self, mel: Tensor) -> Tensor:
        """Encode one block of 30 s: (b, n_mels, 2 * n_ctx) log-mel -> (b, n_ctx, layers, width).

        The hidden states are those before the encoder's final norm, as LatentSync was trained (REFERENCE section 1);
        for MuseTalk the last of them is the one after it (section 2).
        """
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)  # (b, n_ctx, width)
        x = (x + self.positional_embedding).to(x.dtype)
        states = [x]
        for block in self.blocks:
            x = block(x)
            states.append(x)
        if self.generator == "musetalk":
            states[-1] = self.ln_post(x)
        return torch.stack(states, dim=2)


def load_whisper(path: Path | str, generator: str = "latentsync") -> WhisperEncoder:
    """Load the encoder out of a Whisper model file: openai's .pt, or .safetensors with the same tensor names.

    generator: whose features it gives, "latentsync" or "musetalk".
    Returns float32 weights on the CPU in eval mode. Raises LatentSyncError when the file is no Whisper model.
    """
    file = read_tensors(path)
    tensors = file.tensors
    encoder = {name.removeprefix(PREFIX): t for name, t in tensors.items() if name.startswith(PREFIX)}
    if not encoder and "positional_embedding" in tensors and "conv1.weight" in tensors:
        encoder = tensors
    if "conv1.weight" not in encoder or "positional_embedding" not in encoder:
        first = ", ".join(list(tensors)[:3])
        raise LatentSyncError(
            f"{file.path} is no Whisper model: it has no {PREFIX}conv1.weight (its {len(tensors)} tensors begin with "
            f"{first}); Whisper tiny is needed (tiny.pt, 75 MB)."
        )
    with refusing_misfits(file.path, "Whisper model"):
        dims = _checked_dims(file, encoder)
        refuse_misfit(file.path, encoder, dims)
        model = WhisperEncoder.from_dims(dims, generator)
        model.load_state_dict(encoder)
    return model.float().requires_grad_(False)


def refuse_misfit(path: Path, encoder: Mapping[str, Tensor], dims: Mapping[str, int]) -> None:
    """LatentSyncError unless every tensor is there in its shape; asked before memory is taken for the network."""
    with torch.device("meta"):
        expected = WhisperEncoder.from_dims(dims).state_dict()
    wrong = [
        f"{name} is missing" if name not in encoder else f"{name} is {tuple(encoder[name].shape)} {encoder[name].dtype}"
        for name, tensor in expected.items()
        if name not in encoder or not fits(encoder[name], tensor)
    ] + [f"{name} is unknown" for name in encoder if name not in expected]
    if wrong:
        raise LatentSyncError(f"{path} is an incomplete Whisper model ({'; '.join(wrong[:2])}); download it again.")


def _checked_dims(file: TensorFile, encoder: Mapping[str, Tensor]) -> dict[str, int]:
    """The network's dimensions: the heads as the file states them, all else as its tensors show."""
    dims = _dims_from_shapes(encoder)
    stated = file.mapping("dims")
    if not stated:
        return dims
    missing = [name for name in DIMENSIONS.values() if name not in stated]
    if missing:
        raise LatentSyncError(f"{file.path}: its dims lack {', '.join(missing)}; download the Whisper model again.")
    dims["n_audio_head"] = int(stated["n_audio_head"])
    differing = [name for name in DIMENSIONS.values() if int(stated[name]) != dims[name]]
    if differing:
        raise LatentSyncError(
            f"{file.path} is an incomplete Whisper model (it states {differing[0]} {stated[differing[0]]}, its tensors "
            f"show {dims[differing[0]]}); download it again."
        )
    if dims["n_audio_head"] < 1 or dims["n_audio_state"] % dims["n_audio_head"]:
        raise LatentSyncError(
            f"{file.path} is no Whisper model: {dims['n_audio_state']} channels cannot be shared by "
            f"{dims['n_audio_head']} attention heads; download it again."
        )
    return dims


def _dims_from_shapes(encoder: Mapping[str, Tensor]) -> dict[str, int]:
    width, n_mels, _ = encoder["conv1.weight"].shape
    return {
        "n_mels": n_mels,
        "n_audio_ctx": encoder["positional_embedding"].shape[0],
        "n_audio_state": width,
        "n_audio_head": max(width // HEAD_CHANNELS, 1),
        "n_audio_layer": len({name.split(".")[1] for name in encoder if name.startswith("blocks.")}),
    }
