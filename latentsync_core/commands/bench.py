"""``bench``: what a frame costs and what a long clip takes in memory, on this machine."""

import argparse
import platform
import re
import sys
from pathlib import Path

from ..errors import LatentSyncError
from .terminal import show_log

FACES_GOAL = 12.0  # ms per frame for track + crop + paste at 1080p
GROWTH_GOAL = 1.15  # of peak memory, longest clip to shortest
MIB = 2**20
DESCRIPTION = """Print measurements taken on this machine. Timings need a quiet one: the minimum is what it can do."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command and what it measures."""
    parser = subparsers.add_parser("bench", help="measure speed and memory", description=DESCRIPTION)
    kinds = parser.add_subparsers(title="measurements", required=True, metavar="WHAT")
    faces = kinds.add_parser("faces", help="ms per frame to decode, track, crop and paste")
    faces.add_argument("--video", required=True, type=Path, help="a clip with a face")
    faces.add_argument("--frames", type=positive, default=100, help="frames to measure (default: %(default)s)")
    faces.add_argument("--resolution", type=positive, default=256, help="face crop in pixels (default: %(default)s)")
    faces.set_defaults(run=run_faces)
    memory = kinds.add_parser("memory", help="peak memory of a whole run, by the length of the clip")
    memory.add_argument("--seconds", type=float, nargs="+", default=[10, 60], help="lengths (default: 10 60)")
    memory.add_argument("--size", default="1920x1080", help="of the clip in pixels (default: %(default)s)")
    memory.set_defaults(run=run_memory)
    return parser


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def run_faces(args: argparse.Namespace) -> int:
    """Print milliseconds per frame of every stage outside the networks that generate."""
    show_log(False)
    import torch

    from ..benchmark import measure_faces
    from ..faces import fixed_mask
    from ..media import probe_video

    info = probe_video(args.video)
    fixed_mask(args.resolution)  # refuses sizes a run would refuse
    timings = measure_faces(args.video, args.frames, args.resolution)
    frames = len(timings[0].samples)
    sys.stdout.write(
        f"{args.video}: {info.width}x{info.height}, {frames} frames, crop {args.resolution} px, "
        f"{platform.machine()}, {torch.get_num_threads()} torch threads\n\n"
        f"{'ms per frame':<22}{'median':>8}{'minimum':>9}\n"
    )
    for timing in timings:
        sys.stdout.write(f"{timing.name:<22}{timing.median:>8.1f}{timing.minimum:>9.1f}\n")
    sys.stdout.write(
        f"\nGoal on a quiet machine: {timings[-1].name} within {FACES_GOAL:.0f} ms at 1080p. For comparison, the "
        f"reference's\nalign and restore steps alone take about 120 to 270 ms per frame on two cores.\n"
    )
    return 0


def run_memory(args: argparse.Namespace) -> int:
    """Print the peak memory of a run for each length, and how it grows."""
    show_log(False)
    from ..benchmark import measure_memory

    width, height = parse_size(args.size)
    sys.stdout.write(
        f"Peak memory of a run at {width}x{height}, embedded model, 1 step, MiB\n\n"
        f"{'clip':>7}{'frames':>8}{'peak':>8}{'models loaded':>15}{'latents':>9}{'track':>7}\n"
    )
    peaks = {}
    for seconds in args.seconds:
        use = measure_memory(seconds, width, height).footprint
        peaks[seconds] = use.peak
        sys.stdout.write(
            f"{f'{seconds:g} s':>7}{use.frames:>8}{use.peak / MIB:>8.0f}{use.loaded / MIB:>15.0f}"
            f"{use.latents / MIB:>9.1f}{use.track / MIB:>7.1f}\n"
        )
        sys.stdout.flush()
    shortest, longest = min(peaks), max(peaks)
    if shortest != longest:
        ratio = peaks[longest] / peaks[shortest]
        verdict = "within" if ratio <= GROWTH_GOAL else "NOT within"
        sys.stdout.write(
            f"\n{longest:g} s take {ratio:.3f} times the memory of {shortest:g} s; "
            f"{verdict} the goal of {GROWTH_GOAL}.\n"
        )
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """ "1920x1080" -> width and height in pixels."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise LatentSyncError(f"--size is {text!r}; it must be width x height in pixels, such as 1920x1080.")
    return int(match[1]), int(match[2])
