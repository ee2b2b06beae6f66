"""The options by which a command is given a Ray cluster, and paths that mean the same on all of its machines."""

import argparse
from pathlib import Path

from ..cluster.placement import Needs
from ..errors import LatentSyncError
from .first_checks import positive

PATHS = ("checkpoint", "lora", "vae", "whisper", "models", "cache", "mask", "face")  # words too, for some of them


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Where the cluster is, and what its workers are to have."""
    group = parser.add_argument_group("cluster", "see docs/CLUSTER.md; needs Ray")
    group.add_argument(
        "--cluster",
        metavar="auto|ADDRESS",
        help="work on a Ray cluster: the address of its head, or auto: the one this machine belongs to, else one on "
        "this machine alone",
    )
    group.add_argument(
        "--parallel", type=positive, metavar="N", help="workers (default: one for every card, else for every machine)"
    )
    group.add_argument(
        "--gpu-share", type=float, metavar="CARDS", help="of a card for each worker, such as 0.5 (default: 1)"
    )
    group.add_argument("--worker-memory", type=float, metavar="GIB", help="RAM that a worker reserves (default: none)")


def needs_from(args: argparse.Namespace) -> Needs | None:
    """What the options ask of a cluster; None without one. Raises LatentSyncError for options that need one."""
    if args.cluster is None:
        for option in ("parallel", "gpu_share", "worker_memory"):
            if getattr(args, option, None) is not None:
                raise LatentSyncError(f"--{option.replace('_', '-')} is for a cluster; add --cluster, or leave it out.")
        return None
    return Needs(
        address=args.cluster,
        workers=args.parallel,
        gpus=1.0 if args.gpu_share is None else args.gpu_share,
        memory=args.worker_memory,
    )


def make_paths_absolute(args: argparse.Namespace) -> None:
    """Let every file that the options name be found from any folder; a word such as "embedded" stays."""
    for option in PATHS:
        value = getattr(args, option)
        if value is not None and Path(value).exists():
            setattr(args, option, type(value)(Path(value).absolute()))
