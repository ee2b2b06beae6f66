"""The header of a safetensors file, read without the tensors and without torch."""

import json
from pathlib import Path
from typing import Any

METADATA_PREFIX = "latentsync."  # of our own strings in a header
LONGEST_HEADER = 100_000_000  # bytes, the format's own limit


def read_header(path: Path) -> dict[str, Any] | None:
    """Name -> dtype, shape and place of each tensor, and `__metadata__`, where the file has it.

    None where the file is not as long as its own header says: cut short, a checkout's stub, or of another kind.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if not 0 < header_size <= min(size - 8, LONGEST_HEADER):
            return None
        try:
            header = json.loads(file.read(header_size))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, AttributeError, KeyError, TypeError, IndexError):
            return None
    return header if size == 8 + header_size + max(ends, default=0) else None
