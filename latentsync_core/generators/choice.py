"""The generator that a run asks for, before torch and numpy are loaded: its name, its files and where it runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..options import GENERATORS
from ..settings import Settings

if TYPE_CHECKING:
    from .generator import Generator


@dataclass(frozen=True)
class GeneratorChoice:
    """What a user says of models; equal choices load equal networks.

    generator: one of `options.GENERATORS`. The other fields are the arguments of `models.loading.load_models`, which
    says what they mean.
    """

    generator: str = GENERATORS[0]
    checkpoint: Path | str | None = None
    vae: Path | None = None
    whisper: Path | None = None
    directory: Path | None = None
    lora: Path | None = None
    lora_strength: float = 1.0
    device: str = "auto"
    precision: str = "auto"
    compiling: str = "off"

    def load(self, settings: Settings) -> "Generator":
        """The generator with its networks; raises LatentSyncError as `loading.load_generator` does."""
        from .loading import load_generator

        files = {name: value for name, value in vars(self).items() if name != "generator"}
        return load_generator(self.generator, settings, **files)

    def check(self, settings: Settings) -> None:
        """Raise LatentSyncError for settings that the generator has no use for, before anything is loaded."""
        from .loading import check_used

        check_used(self.generator, settings)
