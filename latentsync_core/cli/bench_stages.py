"""``bench stages``: what a frame costs, stage by stage, as a table and as JSON."""

import argparse
import json
import platform
import sys
from pathlib import Path

from ..demo import CLIP
from ..options import (
    DEFAULT_STEPS,
    PRECISIONS,
    PUBLISHED_REUSE,
    PUBLISHED_WIDTH,
    WINDOW_FRAMES,
    check_resolution,
    check_window,
)
from .first_checks import announce, check_inputs, check_model_files, positive
from .sync import check_side_file, write_side_file
from .terminal import gibibytes, show_log

SEEDED = "seeded"
SEEDED_RESOLUTION = 256  # pixels, where none is asked for


def add_parser(kinds) -> None:
    """Register the measurement and its options."""
    stages = kinds.add_parser("stages", help="ms per frame, operations and memory of every stage")
    stages.add_argument("--video", type=Path, default=CLIP, help="a clip with a face (default: the package's own)")
    stages.add_argument("--frames", type=positive, default=WINDOW_FRAMES, help="of one window (default: %(default)s)")
    stages.add_argument("--runs", type=positive, default=3, help="timed passes, whose median counts")
    stages.add_argument("--resolution", type=positive, help="face crop in pixels (default: as the checkpoint says)")
    stages.add_argument("--json", type=Path, metavar="FILE.json", help="write every number to this file")
    add_network_options(stages)
    stages.set_defaults(run=run)


def add_network_options(parser: argparse.ArgumentParser, default: str = "embedded") -> None:
    """Which networks are measured, and where they run."""
    parser.add_argument(
        "--checkpoint",
        default=default,
        help="UNet file, embedded, or seeded: the published shape with drawn weights (default: %(default)s)",
    )
    parser.add_argument("--models", type=Path, help="models folder, for a UNet file")
    parser.add_argument(
        "--width",
        type=positive,
        default=PUBLISHED_WIDTH,
        help="channels of the seeded UNet's first block, fewer for a small machine (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)


def run(args: argparse.Namespace) -> int:
    """Print the cost of every stage, and what denoising a frame comes to."""
    show_log(False)
    check_window(args.frames)
    if args.resolution is not None:
        check_resolution(args.resolution)
    check_inputs((args.video, "a video file"))
    check_networks(args)
    check_side_file(args.json, ".json")
    announce(f"Loading the model; then {args.runs + 1} passes over {args.frames} frames of {args.video} ...")
    from ..benchmark import measure_stages

    resolution = args.resolution or (SEEDED_RESOLUTION if args.checkpoint == SEEDED else None)
    costs = measure_stages(args.video, open_networks(args), args.frames, resolution, args.runs)
    sys.stdout.write(table(costs))
    if args.json:
        write_side_file(args.json, f"{json.dumps(costs.to_dict(), indent=2)}\n".encode(), "the table")
    return 0


def check_networks(args: argparse.Namespace) -> None:
    """Refuse a model file that is not there."""
    if args.checkpoint != SEEDED:
        check_model_files(args)


def open_networks(args: argparse.Namespace):
    """The networks that the options name."""
    if args.checkpoint == SEEDED:
        from ..benchmark import seeded_models

        return seeded_models(args.width, device=args.device, precision=args.precision)
    from ..models.loading import load_models

    return load_models(args.checkpoint, directory=args.models, device=args.device, precision=args.precision)


def table(costs) -> str:
    """Every stage in a line, then what a frame's denoising takes."""
    sources = costs.sources
    lines = [
        f"{costs.video}: {costs.width}x{costs.height}, {costs.frames} frames, crop {costs.resolution} px",
        f"{sources.get('unet', '')}, {sources.get('precision', '')} on {sources.get('device', '')}, "
        f"{platform.machine()}, {costs.threads} torch threads; a matrix product reaches {costs.peak / 1e9:.1f} GFLOP/s",
        "",
        f"{'per frame':<24}{'median ms':>11}{'minimum':>10}{'CPU ms':>10}{'GFLOP':>10}{'of peak':>9}{'VRAM':>11}",
    ]
    for stage in costs.stages:
        timing = stage.timing
        worked = f"{stage.flops / 1e9:>10.2f}{stage.share(costs.peak):>9.0%}" if stage.flops else f"{'-':>10}{'-':>9}"
        vram = "-" if stage.vram is None else gibibytes(stage.vram)
        lines.append(
            f"{timing.name:<24}{timing.median:>11.2f}{timing.minimum:>10.2f}{stage.cpu.median:>10.2f}{worked}{vram:>11}"
        )
    ram = "unknown" if costs.ram is None else gibibytes(costs.ram)
    outside = sum(stage.timing.median for stage in costs.stages if not stage.timing.name.startswith("UNet"))
    lines += ["", "encode and decode are the VAE's; a UNet line is one denoising step.", ""]
    for side in ("guided", "voice only"):
        full, reused = (costs.denoising(side, reuse=reuse) for reuse in (1, PUBLISHED_REUSE))
        lines.append(
            f"{DEFAULT_STEPS} steps, {side + ':':<11} {full:>9.1f} ms per frame, with every third full {reused:>9.1f} "
            f"({reused / full:.2f})"
        )
    return "\n".join([*lines, f"All else once:         {outside:>9.1f} ms per frame", f"RAM at the peak: {ram}", ""])
