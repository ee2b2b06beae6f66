"""``compare``: clips beside one another, each above its mouth's curve, with one sound."""

import argparse
import sys
from pathlib import Path

from ..errors import LatentSyncError
from .first_checks import announce, check_inputs
from .terminal import StageBars, show_log

DESCRIPTION = """Write a video that shows clips beside one another: each with its agreement with the voice and its
offset, above the curve of its mouth. All are heard and measured with one sound."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command."""
    parser = subparsers.add_parser("compare", help="show clips side by side, with scores", description=DESCRIPTION)
    parser.set_defaults(run=run)
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="two clips or more")
    parser.add_argument("--out", required=True, type=Path, help="the result: .mp4, .mov or .mkv")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result")
    parser.add_argument("--audio", type=Path, help="the voice (default: the sound of the first clip that has any)")
    parser.add_argument("--labels", nargs="+", metavar="TEXT", help="a name for every clip (default: the files')")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, ... (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="say more")
    return parser


def check_files(args: argparse.Namespace) -> None:
    """Refuse what cannot be compared or written, before anything heavy is imported."""
    if len(args.videos) < 2:
        raise LatentSyncError(f"Only {args.videos[0]} was named; two clips or more can be compared.")
    if args.labels is not None and len(args.labels) != len(args.videos):
        raise LatentSyncError(
            f"{len(args.labels)} labels were given for {len(args.videos)} clips; give one for each, or none."
        )
    check_inputs(*((video, "a video file") for video in args.videos))
    if args.audio is not None:
        check_inputs((args.audio, "a voice recording"))
    from ..media.write.target import check_target

    check_target(args.out, args.overwrite, [*args.videos, *filter(None, [args.audio])])


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the result stands under its name."""
    show_log(args.verbose)
    check_files(args)
    announce(f"Reading {', '.join(map(str, args.videos))} to write {args.out} ...")
    from ..models.loading import choose_device
    from ..progress import Callbacks
    from ..scoring.compare_clips import compare_clips, shared_sound
    from ..visualize.side_by_side import write_side_by_side

    sound, bars = shared_sound(args.videos, args.audio), StageBars()
    callbacks = Callbacks(on_progress=bars.on_progress)
    try:
        clips = compare_clips(
            args.videos, sound, labels=args.labels, device=choose_device(args.device), callbacks=callbacks
        )
        frames = write_side_by_side(args.out, clips, sound, overwrite=args.overwrite, callbacks=callbacks)
    finally:
        bars.close()
    sys.stdout.write("".join(f"{line(clip)}\n" for clip in clips))
    sys.stdout.write(f"{args.out}: {frames} frames, with the sound of {sound.path}.\n")
    return 0


def line(clip) -> str:
    """One clip's name and what its numbers say."""
    from ..scoring.words import sync_sentence

    return f"{clip.label}: {'no face.' if clip.score is None else sync_sentence(clip.score)}"
