"""What a result depends on, as a mapping that can be compared with that of another run."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...digests import file_digest, known_digest
from ...generators.generator import Generator
from ...settings import Settings
from ...versions import plain, versions
from ..plan import Inputs

SHAPELESS = ("batch", "cache", "overwrite", "resume")  # settings that do not change the result, but for rounding
PER_CONTENT = ("video", "voice", "checkpoint", "VAE", "Whisper")  # told apart by digest, not by a value worth showing


def fingerprint(inputs: Inputs, generator: Generator, settings: Settings, target: Path) -> dict[str, Any]:
    """Everything that shapes the result of a run: contents of the inputs, weights, settings, versions; flat, JSON.

    settings: with the working resolution. Two runs with equal fingerprints on one machine write equal files.
    """
    found = {
        "video": known_digest(inputs.video.path, settings.cache),
        "voice": file_digest(inputs.voice.path),
        "voice start": float(inputs.voice.start.lead),  # a copy of the video's file keeps another place than the file
        "generator": generator.name,
        **generator.digests(),
        "precision": generator.sources.get("precision", "as loaded"),
        "device": generator.device.type,
        "output format": target.suffix.lower(),
    }
    shaping = {name: value for name, value in asdict(settings).items() if name not in SHAPELESS}
    if Path(settings.face).is_file():
        shaping["face"] = Path(settings.face)  # a mask counts by its content
    found |= flat(shaping)
    return found | {f"{name} version": version for name, version in versions().items()}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping: {"guidance scale": 1.5, ...}; a file counts by its content."""
    found = {}
    for name, value in settings.items():
        name = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name} ")
        elif isinstance(value, Path) and value.is_file():
            found[name] = file_digest(value)
        else:
            found[name] = plain(value)
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, in words: "steps 20, now 30", "another voice"."""
    found = []
    for name in [*now, *(name for name in before if name not in now)]:
        if before.get(name) == now.get(name):
            continue
        if name in PER_CONTENT:
            found.append(f"another {name}")
        else:
            found.append(f"{name} {before.get(name)}, now {now.get(name)}")
    return found
