"""The command line: ``python -m latentsync_core sync | batch | people | score | demo | bench | train | ...``."""

import argparse
import io
import sys
from collections.abc import Sequence

from . import __version__
from .cli import (
    batch,
    bench,
    compare,
    demo,
    doctor,
    download,
    evaluate,
    people,
    score,
    sync,
    train,
)
from .errors import LatentSyncError

REFUSED = 2  # exit code of every error a user can mend
STOPPED = 130  # as a shell reports Ctrl-C


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(prog="latentsync", description="LatentSync lip-sync from the command line.")
    parser.add_argument("--version", action="version", version=f"latentsync {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (sync, batch, people, score, compare, demo, bench, train, evaluate, doctor, download):
        command.add_parser(subparsers)
    return parser


def print_any_name() -> None:
    """Let every text be printed: what a terminal or pipe cannot show, as bytes of odd file names, appears escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # there may be none, or a host's own
            stream.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 refused in one sentence on stderr, 130 stopped."""
    print_any_name()
    args = build_parser().parse_args(arguments)
    try:
        return args.run(args)
    except LatentSyncError as error:
        sys.stderr.write(f"error: {' '.join(str(error).splitlines())}\n")  # one line, also for a name of two
        return REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; no unfinished file is left behind.\n")
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
