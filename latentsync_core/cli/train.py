"""``train``: train a UNet or a LoRA from a folder of talking videos, as a config file says."""

import argparse
import sys
from pathlib import Path

from ..progress import Callbacks
from .first_checks import announce, check_inputs
from .terminal import StageBars, show_log

DESCRIPTION = """Train as CONFIG (.toml or .json) says: checkpoints, log.jsonl, TensorBoard files and sample strips go
to its output folder. Several GPUs: torchrun --nproc-per-node N -m latentsync_core train CONFIG."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command."""
    parser = subparsers.add_parser("train", help="train a UNet or a LoRA on your own clips", description=DESCRIPTION)
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the run's config")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    parser.add_argument("--steps", type=int, metavar="N", help="stop after N steps in all, in place of the config's")
    parser.add_argument("--verbose", action="store_true", help="say more")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the last checkpoint is written."""
    from dataclasses import replace

    show_log(args.verbose)
    check_inputs((args.config, "a training config (.toml or .json)"))
    announce(f"Reading {args.config} ...")
    from ..training import read_config, train

    config = read_config(args.config)
    if args.steps is not None:
        config = replace(config, optimizer=replace(config.optimizer, steps=args.steps))
    bars = StageBars()
    try:
        path = train(config, resume=args.resume, callbacks=Callbacks(on_progress=bars.on_progress))
    finally:
        bars.close()
    if path is not None:
        sys.stdout.write(f"{path}\n")
    return 0
