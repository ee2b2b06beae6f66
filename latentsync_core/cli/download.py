"""``download``: fetch published model files into the models folder. The one command that uses the network."""

import argparse
import sys
from functools import partial
from pathlib import Path

from ..models.catalog import (
    CATALOGUE,
    DOWNLOADS,
    ModelFile,
    is_complete,
    models_directory,
    published_places,
)

FP16_CHOICES = ("beside", "instead", "off")
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
    parser.add_argument(
        "--fp16",
        choices=FP16_CHOICES,
        help=(
            "keep each UNet as fp16 safetensors in half the size: beside the published file, or instead of it (one "
            "that was there before stays); loaded in fp16 the two are the same. off: the published file, even where "
            "its copy is there; by default either will do"
        ),
    )
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
            path = fetch(model, directory, args.fp16, args.endpoint)
            print(f"{path}  ({model.licence})")
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    return 0


def fetch(model: ModelFile, directory: Path, fp16: str | None, endpoint: str | None) -> Path:
    """One file, with a bar for each thing that has to be done for it; its path."""
    from ..models.download import download, download_to

    with Bars(model) as bars:
        downloaded = partial(bars.show, "download")
        published = next((path for path in published_places(model, directory) if is_complete(model, path)), None)
        if fp16 in (None, "off") or model.fp16_name is None:
            if fp16 == "off" and published is None:
                return download_to(model, directory / model.target, downloaded, endpoint=endpoint)
            return published or download(model, directory, downloaded, endpoint=endpoint)
        from ..models.fp16_copy import download_fp16

        return download_fp16(
            model,
            directory / model.target,
            published=published,
            keep_published=fp16 == "beside",
            on_progress=bars.show,
            endpoint=endpoint,
        )


class Bars:
    """The progress of one file: bytes as they arrive, then tensors as they are rounded."""

    def __init__(self, model: ModelFile):
        self.model, self.bars = model, {}

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *exception) -> None:
        for bar in self.bars.values():
            bar.close()

    def show(self, stage: str, done: int, total: int) -> None:
        """So much of a stage is done."""
        from tqdm import tqdm

        if stage not in self.bars:
            unit = {"unit": "B", "unit_scale": True} if stage == "download" else {"unit": " tensors"}
            name = self.model.name if stage == "download" else self.model.fp16_name
            # What an earlier attempt brought says nothing of today's speed.
            self.bars[stage] = tqdm(desc=name, total=total, initial=done, dynamic_ncols=True, **unit)
        self.bars[stage].update(done - self.bars[stage].n)
