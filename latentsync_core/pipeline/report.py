"""What a run did: settings, versions, seconds per stage, frames by state, warnings, as JSON."""

import json
import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..file_names import valid_text

LIBRARY = __package__.rpartition(".")[0]  # also where a host loads the pack under a name of its own
PACKAGES = ("torch", "numpy", "diffusers", "openai-whisper", "av", "safetensors", "einops", "scipy")


@dataclass
class Report:
    """Filled in as the run goes on.

    inputs: what the files hold; "starts": seconds after a file's zero at which its pictures and its sound begin, and
    what silence went before the sound, or how much of it was cut, so that it keeps its place.
    stages: seconds of each stage. voice: its silences, and the gate's curve over the output. source_frames: frames
    read, by face state. output_frames: frames written, how many of them synced, faded in part, and left untouched.
    output_times: the stretches of those "synced" and "untouched", in frames and seconds. segments: how many there
    are, were computed, and were found finished by an earlier run. memory: bytes held for the whole clip, and of the
    most latents held at once. forecast: seconds and bytes as foretold, and what it came to. warnings: every warning
    the library logged, in order.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    voice: dict[str, Any] = field(default_factory=dict)
    source_frames: dict[str, Any] = field(default_factory=dict)
    output_frames: dict[str, Any] = field(default_factory=dict)
    output_times: dict[str, Any] = field(default_factory=dict)
    segments: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    forecast: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Only what JSON knows: rates as "30000/1001", paths as text."""
        return plain(asdict(self))

    def to_json(self) -> str:
        """Indented JSON text, in which a file name's bytes that are no UTF-8 are escaped (see valid_text)."""
        return valid_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside under `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = round(self.stages.get(name, 0.0) + time.perf_counter() - started, 3)

    @contextmanager
    def collecting_warnings(self) -> Iterator[None]:
        """Write down every warning the library logs meanwhile, whoever else listens."""
        handler = _WarningList(self.warnings)
        library = logging.getLogger(LIBRARY)
        library.addHandler(handler)
        try:
            yield
        finally:
            library.removeHandler(handler)


class _WarningList(logging.Handler):
    def __init__(self, warnings: list[str]):
        super().__init__(logging.WARNING)
        self.warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.warnings:
            self.warnings.append(message)


def versions() -> dict[str, str]:
    """Versions of this library, Python and the packages that shape a result."""
    found = {"latentsync": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


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
