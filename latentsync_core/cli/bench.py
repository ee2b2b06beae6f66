"""``bench``: what a frame costs and what a long clip takes in memory, on this machine."""

import argparse
import platform
import re
import sys
from pathlib import Path

from ..demo import CLIP, VOICE
from ..errors import LatentSyncError
from ..options import check_resolution
from . import bench_compare, bench_run, bench_stages
from .first_checks import announce, check_inputs, check_model_files, positive
from .terminal import show_log

FACES_GOAL = 12.0  # ms per frame for track + crop + paste at 1080p
GROWTH_GOAL = 1.10  # of peak memory without latents and track, longest clip to shortest
MIB = 2**20
OVERLAPS = (0, 4, 8)  # frames
SEAMS = (  # mask, feather and growth in percent, color match
    ("fixed", 0.5, 0.0, "off"),
    ("fixed", 0.5, 0.0, "ring"),
    ("fixed", 1.5, 0.0, "off"),
    ("fixed", 1.5, 0.0, "ring"),
    ("fixed", 3.0, 0.0, "ring"),
    ("fixed", 1.5, 2.0, "ring"),
    ("mesh", 1.5, 0.0, "off"),
    ("mesh", 1.5, 0.0, "ring"),
)
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
    seams = kinds.add_parser("seams", help="how much joints between windows and around the mouth show")
    seams.add_argument("--video", type=Path, help="a clip with a face (default: the package's own)")
    seams.add_argument("--audio", type=Path, help="a voice (default: the package's own)")
    seams.add_argument("--frames", type=positive, default=64, help="frames to measure (default: %(default)s)")
    seams.add_argument("--steps", type=positive, default=5, help="denoising steps (default: %(default)s)")
    seams.add_argument("--checkpoint", default="embedded", help="UNet file (default: %(default)s)")
    seams.add_argument("--models", type=Path, help="models folder, for another checkpoint than embedded")
    seams.set_defaults(run=run_seams)
    bench_stages.add_parser(kinds)
    bench_compare.add_parser(kinds)
    bench_run.add_parser(kinds)
    return parser


def run_faces(args: argparse.Namespace) -> int:
    """Print milliseconds per frame of every stage outside the networks that generate."""
    show_log(False)
    check_resolution(args.resolution)
    check_inputs((args.video, "a video file"))
    announce(f"Reading {args.video} ...")
    import torch

    from ..benchmark import measure_faces
    from ..media import probe_video

    info = probe_video(args.video)
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
    width, height = parse_size(args.size)
    from ..benchmark import measure_memory

    sys.stdout.write(
        f"Peak memory of a run at {width}x{height}, embedded model, 1 step, MiB\n\n"
        f"{'clip':>7}{'frames':>8}{'peak':>8}{'models loaded':>15}{'latents':>9}{'track':>7}\n"
    )
    peaks = {}
    for seconds in args.seconds:
        use = measure_memory(seconds, width, height).footprint
        peaks[seconds] = use.rest
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
            f"\nWithout latents and track {longest:g} s take {ratio:.3f} times the memory of {shortest:g} s; "
            f"{verdict} the goal of {GROWTH_GOAL:.2f}.\n"
        )
    return 0


def run_seams(args: argparse.Namespace) -> int:
    """Print how much windows' borders and the mask's edge show, before and after."""
    show_log(False)
    check_inputs((args.video or CLIP, "a video file"), (args.audio or VOICE, "a voice recording"))
    check_model_files(args)
    announce(f"Reading {args.video or CLIP}; loading the model ...")
    from ..benchmark import measure_blend_edges, measure_borders, open_video
    from ..faces import Seam
    from ..models.loading import load_models

    models = load_models(args.checkpoint, directory=args.models, device="auto")
    clip = open_video(args.video or CLIP, args.frames, models.working_resolution(None))
    sys.stdout.write(
        f"{clip.video}: {len(clip.track)} frames, crop {clip.resolution} px, {models.sources.get('unet', '')}\n\n"
        "Change of the generated mouth from frame to frame, grey levels\n"
        f"{'overlap':>8}{'windows':>9}{'border':>8}{'inside':>8}{'ratio':>7}\n"
    )
    for row in measure_borders(clip, args.audio or VOICE, models, args.steps, OVERLAPS):
        sys.stdout.write(f"{row.overlap:>8}{row.windows:>9}{row.border:>8.2f}{row.inside:>8.2f}{row.ratio:>7.2f}\n")
    sys.stdout.write(
        "\nEdge of the pasted mouth, grey levels per pixel; the stand-in is the source's face in colours that drifted\n"
        f"{'mask':<7}{'feather':>8}{'grow':>6}{'colours':>9}{'output':>8}{'source':>8}{'step':>8}"
        f"{'offset':>8}{'flicker':>9}\n"
    )
    for row in measure_blend_edges(clip, [Seam(*choice) for choice in SEAMS]):
        seam = row.edge
        sys.stdout.write(
            f"{seam.mask:<7}{seam.feather:>8g}{seam.grow:>6g}{seam.color_match:>9}{row.output:>8.2f}{row.source:>8.2f}"
            f"{row.step:>8.3f}{row.offset:>8.2f}{row.flicker:>9.3f}\n"
        )
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """ "1920x1080" -> width and height in pixels."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise LatentSyncError(f"--size is {text!r}; it must be width x height in pixels, such as 1920x1080.")
    return int(match[1]), int(match[2])
