"""Load the generator that a user names."""

from typing import Any

from ..models.loading import load_models
from ..settings import Settings
from .generator import Generator, refuse_unused
from .latentsync.generator import LatentSync
from .musetalk.generator import MuseTalk
from .musetalk.loading import load_musetalk

KINDS = {"latentsync": LatentSync, "musetalk": MuseTalk}


def load_generator(name: str, settings: Settings, **files: Any) -> Generator:
    """A generator with its networks, after a look at whether it has what `settings` ask for.

    name: one of `options.GENERATORS`. files: the arguments of `models.loading.load_models`, which each generator
    understands in its own way. Raises LatentSyncError for settings it has no use for and for files that do not fit.
    """
    kind = KINDS[name]
    refuse_unused(name, kind.unused, settings)  # before gigabytes of weights are read
    return LatentSync(load_models(**files)) if kind is LatentSync else load_musetalk(**files)
