"""``download``: fetch published model files into the models folder. The one command that uses the network."""

import argparse
import sys
from pathlib import Path

from ..models.catalog import (
    CATALOGUE,
    DOWNLOADS,
    ModelFile,
    models_directory,
)

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def add_parser(subparsers) -> None:
    """Describe ``download``."""
    parser = subparsers.add_parser(
        "download",
        help="fetch published model files; the only command that uses the network",
        description=(
            "Fetch published model files from the Hugging Face Hub into the models folder. A download that was "
            "interrupted goes on where it stopped; every file is checked against its published SHA-256. "
            "No other command opens a connection. $HF_ENDPOINT names a mirror, $HF_TOKEN an account."
        ),
        epilog="Already have the files? Any place `doctor` lists them in is fine.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="1.6",
        choices=DOWNLOADS,
        help=(
            "1.6 (512 px, default) or 1.5 (256 px): a run's files; musetalk (1.5) or musetalk-1.0: those of a run with "
            "--generator musetalk; score: SyncNet v2; syncnet: StableSyncNet too; all"
        ),
    )
    parser.add_argument("--models", metavar="DIR", help="models folder (default: $LATENTSYNC_MODELS, ./models, ...)")
    parser.add_argument("--endpoint", metavar="URL", help="a mirror of the Hub")
    parser.add_argument("--list", action="store_true", help="list every published file with size, hash and home")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch the chosen files one after the other, each with a progress bar; 0 when all of them are there."""
    if args.list:
        for model in CATALOGUE:
            print(f"{model.target}  {model.size:,} bytes  {model.licence}\n  {model.page}\n  sha256 {model.sha256}")
        return 0
    directory = models_directory(args.models)
    print(f"Models folder: {directory}")
    try:
        for model in DOWNLOADS[args.what]:
            fetch(model, directory, args.endpoint)
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    return 0


def fetch(model: ModelFile, directory: Path, endpoint: str | None) -> None:
    """One file with its bar."""
    from tqdm import tqdm

    from ..models.download import download

    with tqdm(desc=model.name, total=model.size, unit="B", unit_scale=True, dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            if bar.n == 0 and done:
                bar.initial = done  # what an earlier attempt brought says nothing of today's speed
            bar.update(done - bar.n)

        path = download(model, directory, show, endpoint=endpoint)
    print(f"{path}  ({model.licence})")
