"""Load the generator that a user names."""

from collections.abc import Mapping
from typing import Any

from ..errors import LatentSyncError
from ..models.loading import load_models
from ..settings import Settings
from .draft.generator import Draft
from .generator import Generator, refuse_unused
from .latentsync.generator import LatentSync
from .musetalk.generator import MuseTalk
from .musetalk.loading import load_musetalk

KINDS: dict[str, type[Generator]] = {"latentsync": LatentSync, "musetalk": MuseTalk, "draft": Draft}


def load_generator(name: str, settings: Settings, **files: Any) -> Generator:
    """A generator with its networks, after a look at whether it has what `settings` ask for.

    name: one of `options.GENERATORS`. files: the arguments of `models.loading.load_models`, which each generator
    understands in its own way. Raises LatentSyncError for settings it has no use for and for files that do not fit.
    """
    check_used(name, settings)  # before gigabytes of weights are read
    kind = KINDS[name]
    if kind is Draft:
        refuse_files(files)
        return Draft()
    if kind is MuseTalk:
        return load_musetalk(**files)
    models = load_models(**files)
    return LatentSync(models, instead=Draft() if models.fallback else None)


def check_used(name: str, settings: Settings) -> None:
    """Raise LatentSyncError where `settings` give generator `name` what it has no use for."""
    refuse_unused(name, KINDS[name].unused, settings)


def refuse_files(files: Mapping[str, Any]) -> None:
    """Raise LatentSyncError for a network that the draft was to load."""
    given = [name for name in ("checkpoint", "vae", "whisper", "lora") if files.get(name)]
    if given:
        raise LatentSyncError(
            f"The generator draft loads no files, yet --{given[0]} {files[given[0]]} was given: leave it out."
        )
