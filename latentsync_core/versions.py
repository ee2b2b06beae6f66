"""What a result was made with, and any value in the words of JSON."""

import platform
from dataclasses import asdict, is_dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__

PACKAGES = ("torch", "numpy", "diffusers", "openai-whisper", "av", "safetensors", "einops", "scipy")
COMPUTING = ("torch", "numpy", "av")  # whose versions change results in the last digits


def versions() -> dict[str, str]:
    """Versions of this library, Python and the packages that shape a result."""
    found = {"latentsync": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def computing_versions() -> dict[str, str]:
    """The versions on which the last digits of a cached result depend."""
    found = versions()
    return {name: found[name] for name in COMPUTING}


def plain(value: Any) -> Any:
    """`value` in what JSON knows: rates as "30000/1001", paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}" if value.denominator != 1 else value.numerator
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
