"""Features kept on disk between runs: the same voice, encoder and mode are never encoded twice."""

import hashlib
import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .whisper_encoder import WhisperEncoder

log = logging.getLogger(__name__)
FORMAT = "latentsync-features-1"  # part of the key: raise it when the numbers change


def feature_key(waveform: Tensor | np.ndarray, encoder: WhisperEncoder, joins: str) -> str:
    """Hex digest that changes with any sample of the voice, any weight of the encoder, and the mode."""
    digest = hashlib.sha256(f"{FORMAT}:{joins}:".encode())
    digest.update(_bytes(torch.as_tensor(waveform)))
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}:".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


class FeatureCache:
    """A folder of feature files, safe to share between processes.

    A file is written under a name of its own and renamed when complete, so nobody reads half of it. What is read is
    checked against its own digest: a damaged file is computed anew and replaced, never trusted. A folder that cannot
    be written costs a warning, not the run.
    """

    def __init__(self, directory: Path | str):
        self.directory = Path(directory)

    def get(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """The (T, L, D) float32 features under `key`, from disk if sound, else from `compute()`."""
        features = self._read(self._path(key))
        if features is None:
            features = compute()
            self._write(self._path(key), features)
        return features

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.safetensors"

    def _read(self, path: Path) -> Tensor | None:
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                recorded = (file.metadata() or {}).get("sha256")
                features = file.get_tensor("features")
        except (SafetensorError, OSError, ValueError) as error:
            log.warning("Cached features %s are damaged (%s); computing them again.", path, error)
            return None
        if recorded != hashlib.sha256(_bytes(features)).hexdigest():
            log.warning("Cached features %s do not match their digest; computing them again.", path)
            return None
        return features

    def _write(self, path: Path, features: Tensor) -> None:
        partial = path.with_name(f".{path.stem}-{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
        metadata = {"format": FORMAT, "sha256": hashlib.sha256(_bytes(features)).hexdigest()}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            save_file({"features": features.contiguous()}, partial, metadata)
            os.replace(partial, path)
        except (OSError, SafetensorError) as error:
            log.warning("Features were not cached in %s: %s.", self.directory, error)
            if partial.exists():
                partial.unlink()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
