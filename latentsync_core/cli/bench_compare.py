"""``bench compare``: this project beside a checkout of the reference implementation, as a table and as JSON."""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from ..demo import CLIP
from ..errors import LatentSyncError
from ..options import (
    DEFAULT_GUIDANCE,
    DEFAULT_STEPS,
    PUBLISHED_REUSE,
    WINDOW_FRAMES,
    check_resolution,
    check_reuse,
    check_steps,
    check_window,
)
from .bench_stages import SEEDED, add_network_options, check_networks, open_networks
from .first_checks import announce, check_inputs, positive
from .sync import check_side_file, write_side_file
from .terminal import show_log

TITLES = f"{'median ms':<38}{'ours':>11}{'reference':>11}{'ratio':>8}{'CPU ratio':>11}   largest difference"
PARTS = ("full", "cached", "denoise", "faces")


def add_parser(kinds) -> None:
    """Register the comparison and its options."""
    compare = kinds.add_parser("compare", help="the reference's UNet, DeepCache and face steps beside ours, in turn")
    compare.add_argument("--reference", type=Path, required=True, help="a checkout of bytedance/LatentSync")
    compare.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is compared (default: all)")
    compare.add_argument("--resolution", type=positive, default=256, help="face crop in pixels (default: %(default)s)")
    compare.add_argument("--frames", type=positive, default=WINDOW_FRAMES, help="of a window (default: %(default)s)")
    compare.add_argument("--steps", type=positive, default=DEFAULT_STEPS, help="denoising steps (default: %(default)s)")
    compare.add_argument(
        "--reuse",
        type=positive,
        default=PUBLISHED_REUSE,
        help="every how many steps the whole UNet runs, in both (default: %(default)s, as published)",
    )
    compare.add_argument("--guidance", type=float, default=DEFAULT_GUIDANCE, help="scale (default: %(default)s)")
    compare.add_argument("--video", type=Path, default=CLIP, help="for faces: a clip (default: the package's own)")
    compare.add_argument("--runs", type=positive, default=3, help="of each, in turn (default: %(default)s)")
    compare.add_argument("--json", type=Path, metavar="FILE.json", help="write every number to this file")
    add_network_options(compare, default=SEEDED)
    compare.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line for each part as soon as it is measured."""
    show_log(False)
    check_sampling(args)
    check_inputs((args.video, "a video file"))
    check_networks(args)
    check_side_file(args.json, ".json")
    announce(f"Comparing with {args.reference}, {args.runs} runs of each in turn; loading the model ...")
    sys.stdout.write(f"{TITLES}\n")
    rows = []
    for row in comparisons(args):
        sys.stdout.write(f"{line(row)}\n")
        sys.stdout.flush()
        rows.append(row.to_dict())
    if args.json:
        about = {name: str(value) for name, value in vars(args).items() if name != "run"}
        content = json.dumps({"options": about, "comparisons": rows}, indent=2)
        write_side_file(args.json, f"{content}\n".encode(), "the table")
    return 0


def check_sampling(args: argparse.Namespace) -> None:
    """Refuse numbers that no window can be denoised with."""
    check_resolution(args.resolution)
    check_window(args.frames)
    check_steps("ddim", args.steps)
    check_reuse(args.reuse)
    if "cached" in args.parts and min(args.reuse, args.steps) < 2:
        raise LatentSyncError(
            f"A cached step was asked for, but of {args.steps} steps every one is full with --reuse {args.reuse}; give "
            "at least 2 of each, or other --parts."
        )


def line(row) -> str:
    """A comparison as a line below TITLES."""
    timings = row.timings
    ours, reference = (statistics.median(run.wall for run in side) for side in (timings.ours, timings.reference))
    ratios = f"{timings.ratio.wall:>8.3f}{timings.ratio.cpu:>11.3f}"
    difference = f"{row.difference:.2g} of {row.size:.3g} {row.unit}".rstrip()
    return f"{row.name:<38}{ours:>11.1f}{reference:>11.1f}{ratios}   {difference}"


def comparisons(args: argparse.Namespace) -> Iterator:
    """The parts asked for, one after the other."""
    from ..benchmark.compare import (
        Sampling,
        SharedWindow,
        compare_cached_step,
        compare_denoising,
        compare_full_step,
    )
    from ..benchmark.compare_faces import compare_faces
    from ..models.loading import choose_device

    steps = {"full": compare_full_step, "cached": compare_cached_step, "denoise": compare_denoising}
    if set(args.parts) - {"faces"}:
        sampling = Sampling(args.resolution, args.frames, args.steps, args.reuse, args.guidance)
        window = SharedWindow.draw(args.reference, open_networks(args), sampling)
        for part, compare in steps.items():
            if part in args.parts:
                yield compare(window, args.runs)
    if "faces" in args.parts:
        yield compare_faces(
            args.reference,
            args.video,
            choose_device(args.device),
            frames=args.frames,
            resolution=args.resolution,
            runs=args.runs,
        )
