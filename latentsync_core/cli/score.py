"""``score``: how well the lips in a video agree with a voice, how steady they are, and what else changed."""

import argparse
import io
import json
import sys
from pathlib import Path

from ..options import DEFAULT_FACE
from .first_checks import announce, check_inputs
from .sync import check_side_file, write_side_file
from .terminal import StageBars, show_log

DESCRIPTION = """Measure how well lips and voice agree, without any download: agreement, offset, jitter, flicker,
sharpness, and beside the source what else changed. No number stands alone: read the table, look at the plot."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command."""
    parser = subparsers.add_parser("score", help="measure how well lips and voice agree", description=DESCRIPTION)
    parser.set_defaults(run=run)
    parser.add_argument("video", type=Path, help="the video to score")
    parser.add_argument("--audio", type=Path, help="the voice (default: the video's own sound)")
    parser.add_argument("--audio-track", help="which track of a file with several: its number from 1, or its language")
    parser.add_argument(
        "--source", "--reference", type=Path, help="the video it was made from, to see what else changed"
    )
    parser.add_argument("--face", default=DEFAULT_FACE, metavar="WHO", help="whose lips, as for sync (default: auto)")
    parser.add_argument("--json", type=Path, help="write all numbers to this JSON file")
    parser.add_argument("--plot", type=Path, help="write a picture of both curves, the lag, the best and worst second")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, ... (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="say more")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the clip was measured, whatever the numbers say."""
    show_log(args.verbose)
    check_inputs((args.video, "a video file"))
    for path, needs in ((args.audio, "a voice recording"), (args.source, "a video file")):
        if path is not None:
            check_inputs((path, needs))
    check_side_file(args.json, ".json")
    check_side_file(args.plot, ".png")
    announce(f"Reading {args.video} ...")
    from ..models.loading import choose_device
    from ..progress import Callbacks
    from ..scoring.score_files import ScoreInputs, score_files
    from ..scoring.words import summary, table

    inputs = ScoreInputs(args.video, args.audio, args.audio_track, args.source, args.face)
    bars = StageBars()
    try:
        scored = score_files(
            inputs, device=choose_device(args.device), callbacks=Callbacks(on_progress=bars.on_progress)
        )
    finally:
        bars.close()
    sys.stdout.write(f"{table(scored.score)}\n\n{summary(scored.score)}\n")
    if args.json:
        write_side_file(args.json, f"{to_json(scored)}\n".encode(), args.video)
    if args.plot:
        from ..visualize.score_card import score_card

        picture = io.BytesIO()
        score_card(scored).save(picture, "PNG")
        write_side_file(args.plot, picture.getvalue(), args.video)
        sys.stdout.write(f"Picture: {args.plot}\n")
    return 0


def to_json(scored) -> str:
    """All numbers of a scored clip."""
    return json.dumps(scored.score.to_dict(), indent=2, ensure_ascii=False)
