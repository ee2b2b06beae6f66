"""``bench run``: whole clips from fresh processes, by this checkout and another one in turn."""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import LatentSyncError
from .first_checks import announce, check_inputs, positive
from .sync import check_side_file, write_side_file
from .terminal import gibibytes, show_log

HERE, AGAINST = "here", "against"


def add_parser(kinds) -> None:
    """Register the measurement and its options."""
    whole = kinds.add_parser(
        "run",
        help="frames per second of whole clips, also against another checkout",
        usage="%(prog)s --video V --audio A [--against CHECKOUT] [--runs N] [--json FILE.json] [-- SYNC OPTIONS]",
    )
    whole.add_argument("--video", type=Path, required=True, help="the video whose face is to speak")
    whole.add_argument("--audio", type=Path, required=True, help="the voice")
    whole.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout of this project, run in turn")
    whole.add_argument(
        "--against-options",
        metavar="TEXT",
        help="sync options of the other run, in one text, where they differ: of --against, or of this checkout",
    )
    whole.add_argument("--runs", type=positive, default=3, help="of each, in turn (default: %(default)s)")
    whole.add_argument("--json", type=Path, metavar="FILE.json", help="write every number to this file")
    whole.add_argument("options", nargs="*", help="after --: options of sync, with whole paths where they name files")
    whole.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what a whole run takes, by stage, and how two compare."""
    show_log(False)
    check_inputs((args.video, "a video file"), (args.audio, "a voice recording"))
    check_side_file(args.json, ".json")
    from ..benchmark.whole_runs import result_of, signal_to_noise, whole_runs

    variants = variants_of(args)
    announce(f"{args.runs} runs of {' and '.join(variant.name for variant in variants)} in turn ...")
    found: dict[str, list] = {variant.name: [] for variant in variants}
    with tempfile.TemporaryDirectory(prefix="latentsync-runs-") as name:
        folder = Path(name)
        for variant, measured in whole_runs(variants, args.video, args.audio, folder, args.runs):
            found[variant.name].append(measured)
            announce(f"{variant.name}: {measured.seconds:.1f} s, {measured.fps:.2f} frames per second")
        results = [result_of(folder, variant) for variant in variants]
        psnr = signal_to_noise(*results) if len(results) == 2 else None
    sys.stdout.write(table(found))
    if psnr is not None:
        sys.stdout.write(f"\nPictures of both results: {psnr:.1f} dB PSNR (inf = equal)\n")
    if args.json:
        content = {
            "variants": {each.name: {"checkout": str(each.checkout), "options": each.options} for each in variants},
            "runs": {name: [measured.to_dict() for measured in runs] for name, runs in found.items()},
            "psnr_db": psnr,
        }
        write_side_file(args.json, f"{json.dumps(content, indent=2)}\n".encode(), "the table")
    return 0


def variants_of(args: argparse.Namespace) -> list:
    """This checkout, and the other one or the other options where they are given."""
    from ..benchmark.whole_runs import THIS_CHECKOUT, Variant

    options = tuple(args.options)
    variants = [Variant(HERE, options=options)]
    if args.against is not None or args.against_options is not None:
        other = options if args.against_options is None else tuple(shlex.split(args.against_options))
        if args.against is None and other == options:
            raise LatentSyncError("--against-options are this run's own; give other options, or --against CHECKOUT.")
        variants.append(Variant(AGAINST, (args.against or THIS_CHECKOUT).resolve(), other))
    return variants


def table(found: Mapping[str, Sequence]) -> str:
    """Medians of every variant, and the ratio of the first to the second."""
    rows = {"seconds": lambda measured: measured.seconds, "frames per second": lambda measured: measured.fps}
    for stage in dict.fromkeys(stage for runs in found.values() for measured in runs for stage in measured.stages):
        rows[f"  {stage}"] = lambda measured, stage=stage: measured.stages.get(stage, 0.0)
    rows["  start, estimate"] = lambda measured: measured.rest
    two = len(found) == 2
    lines = [f"{'median':<20}" + "".join(f"{name:>12}" for name in found) + f"{'ratio' if two else '':>9}"]
    for title, value in rows.items():
        medians = [statistics.median(map(value, runs)) for runs in found.values()]
        ratio = f"{medians[0] / medians[1]:.3f}" if two and medians[1] else ""
        lines.append(f"{title:<20}" + "".join(f"{median:>12.2f}" for median in medians) + f"{ratio:>9}")
    for title, kind in (("RAM at the peak", "ram"), ("VRAM at the peak", "vram")):
        peaks = [[getattr(measured, kind) for measured in runs] for runs in found.values()]
        if all(peak is not None for runs in peaks for peak in runs):
            lines.append(f"{title:<20}" + "".join(f"{gibibytes(max(runs)):>12}" for runs in peaks))
    return "\n".join([*(line.rstrip() for line in lines), ""])
