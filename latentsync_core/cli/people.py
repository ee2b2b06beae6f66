"""``people``: who is in a video, with the numbers that ``sync --face`` takes."""

import argparse
import io
import sys
from functools import partial
from pathlib import Path

from ..errors import LatentSyncError
from ..options import DEFAULT_THRESHOLD
from .first_checks import announce, check_inputs
from .sync import check_side_file, write_side_file
from .terminal import StageBars, show_log

DESCRIPTION = """List everybody in a video with the number that `sync --face` takes, and draw a picture with the
numbers."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command."""
    parser = subparsers.add_parser("people", help="list who is in a video, by number", description=DESCRIPTION)
    parser.set_defaults(run=run)
    parser.add_argument("video", type=Path, help="the video to look at")
    parser.add_argument("--out", type=Path, help="write a PNG with everybody's number")
    parser.add_argument(
        "--threshold",
        type=float,
        default=DEFAULT_THRESHOLD,
        help="how sure the detector must be (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, ... (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="say more")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when somebody was found, 1 when nobody was."""
    show_log(args.verbose)
    if not 0 < args.threshold < 1:
        raise LatentSyncError(f"--threshold is {args.threshold}; it must lie between 0 and 1.")
    check_inputs((args.video, "a video file"))
    check_side_file(args.out, ".png")
    announce(f"Reading {args.video} ...")
    from ..faces import track_people
    from ..media import VideoReader
    from ..models.loading import choose_device
    from ..visualize.people_sheet import people_sheet

    bars = StageBars()
    with VideoReader(args.video) as reader:
        bars.on_progress("faces", 0, reader.info.frames or 0)
        try:
            people = track_people(
                reader.frames(),
                device=choose_device(args.device),
                detection_threshold=args.threshold,
                total=reader.info.frames,
                on_progress=partial(bars.on_progress, "faces"),
            )
        except LatentSyncError as error:
            raise LatentSyncError(f"{args.video}: {error}") from error
        finally:
            bars.close()
        sys.stdout.write(table(people, reader.times))
        if args.out and people.persons:
            picture = io.BytesIO()
            people_sheet(reader, people, reader.times).save(picture, "PNG")
            write_side_file(args.out, picture.getvalue(), args.video)
            sys.stdout.write(f"Picture: {args.out}\n")
    return 0 if people.persons else 1


def table(people, times) -> str:
    """Everybody line by line: number, frames, first and last time, size, place."""
    from ..intervals import clock

    if not people.persons:
        return f"Nobody found in {people.count} frames; best detector score {people.best_detection:.2f}.\n"
    lines = [f"{'face':>4} {'frames':>7} {'first':>9} {'last':>9} {'size':>7}  middle"]
    for person in people.persons:
        first, last = (clock(times[index]) for index in (person.frames[0], person.frames[-1]))
        x, y = person.middle
        size = f"{person.size:.0f} px"
        lines.append(f"{person.number:>4} {len(person.frames):>7} {first:>9} {last:>9} {size:>7}  {x:.0f},{y:.0f}")
    cuts = f"{people.count} frames, {len(people.cuts)} cuts" + (
        f" at {', '.join(clock(times[cut]) for cut in people.cuts)}" if people.cuts else ""
    )
    return "\n".join([*lines, cuts]) + "\n"
