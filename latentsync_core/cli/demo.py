"""``demo``: the whole path on a clip and a voice that come with the package, offline, on any machine."""

import argparse
import sys
from pathlib import Path

from ..demo import CLIP, VOICE
from ..errors import LatentSyncError
from ..models.catalog import EMBEDDED_NAME
from ..presets import STUDENT_PRESET
from . import sync
from .sync_options import add_options

DESCRIPTION = """Lip-sync the clip that comes with the package and write the video, its report, a contact sheet
and how the mouth moves beside what the voice asks for."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command."""
    parser = subparsers.add_parser("demo", help="see it work on a clip of its own", description=DESCRIPTION)
    parser.add_argument("--out", type=Path, default=Path("output"), help="folder to write to (default: %(default)s)")
    add_options(parser)
    parser.set_defaults(run=run, resume=False, no_score=False, audio_track=None, cluster=None)
    parser.set_defaults(checkpoint="embedded", no_cache=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when video, report and picture are written."""
    folder = args.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatentSyncError(f"{folder}: this folder cannot be made ({error.strerror}); choose another.") from error
    args.video, args.audio, args.overwrite = CLIP, VOICE, True
    args.out, args.report = folder / "demo.mp4", folder / "demo.json"
    args.contact_sheet = folder / "demo.png"
    if args.checkpoint == "embedded":
        args.preset = args.preset or STUDENT_PRESET  # four passes in place of forty, and no score is lost that shows
        sys.stdout.write(f"Model: {EMBEDDED_NAME}; --preset {args.preset}.\n")
    code = sync.run(args)
    from ..visualize.mouth_curve import measure_mouth

    curves, picture = measure_mouth(args.out), folder / "demo_mouth.png"
    curves.save(picture)
    sys.stdout.write(
        f"Report: {args.report}\nPicture: {args.contact_sheet}\n"
        f"Mouth: {picture} (correlation with what the voice asks for {curves.correlation:.2f}, with other words "
        f"{curves.of_other_words:.2f})\n"
    )
    return code
