"""What every command does before it imports anything heavy: looks at its files, and says what it is about to do."""

import argparse
import sys
from pathlib import Path

from ..generators.choice import GeneratorChoice
from ..input_files import check_readable
from ..models.catalog import check_model_file
from .sync_settings import lora_from


def check_inputs(*inputs: tuple[Path, str]) -> None:
    """Raise LatentSyncError unless each path is a plain file to read; beside it, what is needed: "a video file"."""
    for path, needs in inputs:
        check_readable(path, needs)


def check_model_files(args: argparse.Namespace) -> None:
    """Raise LatentSyncError unless the model files that the options name are there."""
    named = {name: getattr(args, name, None) for name in ("checkpoint", "lora", "vae", "whisper")}
    if named["checkpoint"] == "embedded":
        del named["checkpoint"]
    for path in named.values():
        if path is not None:
            check_model_file(Path(path))


def choice_from(args: argparse.Namespace) -> GeneratorChoice:
    """The generator that the options name, with its files."""
    return GeneratorChoice(
        generator=args.generator,
        checkpoint=args.checkpoint,
        vae=args.vae,
        whisper=args.whisper,
        directory=args.models,
        lora=lora_from(args),
        lora_strength=args.lora_strength,
        device=args.device,
        precision=args.precision,
        compiling=args.compile,
    )


def positive(text: str) -> int:
    """The type of an option that takes a whole number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def announce(line: str) -> None:
    """Say on stderr what comes now, as importing and loading take seconds."""
    sys.stderr.write(f"{' '.join(line.splitlines())}\n")  # one line, also for a name of two
    sys.stderr.flush()
