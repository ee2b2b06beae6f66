"""Features kept on disk between runs: the same voice, encoder and mode are never encoded twice."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..disk_cache import DiskCache
from ..file_names import utf8_path
from .encoder import AudioEncoder
from .feature_file import Features, Keep, join_pieces, spans

KIND = "features"
FORMAT = "latentsync-features-1"  # part of the key: raise it when the numbers change


def feature_key(waveform: Tensor | np.ndarray, encoder: AudioEncoder, joins: str) -> str:
    """Hex digest that changes with any sample of the voice, any weight of the encoder, its generator, and the mode."""
    kind = "" if encoder.generator == "latentsync" else f"{encoder.generator}:"
    digest = hashlib.sha256(f"{FORMAT}:{joins}:{kind}".encode())
    digest.update(_bytes(torch.as_tensor(waveform)))
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}:".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def cached_features(
    cache: DiskCache, key: str, compute: Callable[[], Iterator[Tensor]], keep: Keep = join_pieces
) -> Features:
    """The (T, L, D) float32 features under `key`, from disk if sound, else the pieces of `compute()`.

    keep: where they go for use; memory unless given. The cache's own file is not touched again. What is read is checked
    against its own digest: a damaged file is computed again and replaced.
    """
    features = cache.get(KIND, key, lambda path: keep(read_pieces(path)))
    if features is None:
        features = keep(compute())
        cache.put(KIND, key, lambda path: write_pieces(path, features))
    return features


def read_pieces(path: Path) -> Iterator[Tensor]:
    """The features in a cache file, piece by piece; raises ValueError if it is damaged, perhaps only at the end."""
    digest = hashlib.sha256()
    try:
        with utf8_path(path) as place, safe_open(place, framework="pt", device="cpu") as file:
            rows = file.get_slice("features")
            for span in spans(rows.get_shape()[0]):
                piece = rows[span]
                digest.update(_bytes(piece))
                yield piece
            recorded = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from error
    if digest.hexdigest() != recorded:
        raise ValueError("they do not match their digest")


def write_pieces(path: Path, features: Features) -> None:
    """Write a safetensors file, laid out here, as its library takes only tensors that are whole in memory."""
    digest = hashlib.sha256()
    for span in spans(len(features)):
        digest.update(_bytes(features[span]))
    tensor = {"dtype": "F32", "shape": list(features.shape), "data_offsets": [0, features.nbytes]}
    header = json.dumps({"__metadata__": {"format": FORMAT, "sha256": digest.hexdigest()}, "features": tensor})
    header += " " * (-len(header) % 8)  # aligns the data to eight bytes
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode())
        for span in spans(len(features)):
            file.write(_bytes(features[span]))


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in memory, without a copy where it is contiguous."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
