"""``score``: how well the lips in a video agree with a voice, how steady they are, and what else changed."""

import argparse
import io
import json
import sys
from pathlib import Path

from ..errors import LatentSyncError
from ..options import DEFAULT_FACE
from ..options import EVALUATION_CROPS as CROPS
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
    said = parser.add_argument_group("what is said", "opens a further table: closed lips at p, b, m, openings by vowel")
    said.add_argument("--text", type=Path, help="a text file of all that is said; espeak-ng times it")
    said.add_argument("--language", default="en-us", help="of the text, for espeak-ng (default: %(default)s)")
    said.add_argument("--phones", type=Path, help="timed phones: .lab, TextGrid or pocketsphinx's JSON")
    syncnet = parser.add_argument_group("SyncNet", "measured where its weights are; `download score` fetches them")
    syncnet.add_argument("--models", type=Path, help="models folder (default: see `doctor`)")
    syncnet.add_argument("--crop", default="mesh", choices=CROPS, help="how faces are cut (default: %(default)s)")
    syncnet.add_argument("--no-syncnet", action="store_true", help="leave it out")
    parser.add_argument("--json", type=Path, help="write all numbers to this JSON file")
    parser.add_argument("--plot", type=Path, help="write a picture of both curves, the lag, the best and worst second")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, ... (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="say more")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the clip was measured, whatever the numbers say."""
    show_log(args.verbose)
    check_inputs((args.video, "a video file"))
    named = (
        (args.audio, "a voice recording"),
        (args.source, "a video file"),
        (args.text, "a text"),
        (args.phones, "timed phones"),
    )
    check_inputs(*((path, needs) for path, needs in named if path is not None))
    if args.text and args.phones:
        raise LatentSyncError("--text and --phones were both given; timed phones need no text: leave one out.")
    check_side_file(args.json, ".json")
    check_side_file(args.plot, ".png")
    announce(f"Reading {args.video} ...")
    from ..models.loading import choose_device
    from ..progress import Callbacks
    from ..scoring.judges import judged
    from ..scoring.score_files import ScoreInputs, score_files
    from ..scoring.words import summary, table

    inputs = ScoreInputs(args.video, args.audio, args.audio_track, args.source, args.face)
    device, bars = choose_device(args.device), StageBars()
    callbacks = Callbacks(on_progress=bars.on_progress)
    try:
        scored = judged(score_files(inputs, device=device, callbacks=callbacks), chosen_judges(args, device), callbacks)
    finally:
        bars.close()
    sys.stdout.write(f"{table(scored.score)}\n\n{summary(scored.score)}\n")
    if "syncnet" not in (scored.score.judges or {}) and not args.no_syncnet:
        sys.stdout.write("Sync-C and Sync-D were not measured: `download score` fetches SyncNet's weights (55 MB).\n")
    if args.json:
        write_side_file(args.json, f"{to_json(scored)}\n".encode(), args.video)
    if args.plot:
        from ..visualize.score_card import score_card

        picture = io.BytesIO()
        score_card(scored).save(picture, "PNG")
        write_side_file(args.plot, picture.getvalue(), args.video)
        sys.stdout.write(f"Picture: {args.plot}\n")
    return 0


def chosen_judges(args: argparse.Namespace, device) -> list:
    """The judges beside the mesh that the options and the models folder allow."""
    from ..models.catalog import models_directory
    from ..scoring.judges import PhoneJudge, syncnet_judges
    from ..scoring.phone_files import decoded_text

    judges = [] if args.no_syncnet else syncnet_judges(models_directory(args.models), args.crop, device)
    if args.text or args.phones:
        text = decoded_text(args.text, "a text") if args.text else None
        judges.append(PhoneJudge(args.phones, text, args.language))
    return judges


def to_json(scored) -> str:
    """All numbers of a scored clip."""
    return json.dumps(scored.score.to_dict(), indent=2, ensure_ascii=False)
