"""``sync``: a video and a voice in, the same video speaking that voice out."""

import argparse
import dataclasses
import io
import sys
from pathlib import Path

from ..atomic_write import PendingFile, atomic_write
from ..cluster.placement import Needs
from ..errors import LatentSyncError
from ..progress import Callbacks
from .cluster_options import add_cluster_options, make_paths_absolute, needs_from
from .first_checks import announce, check_inputs, check_model_files, choice_from
from .sync_options import add_options
from .sync_settings import settings_from
from .terminal import StageBars, show_log

DESCRIPTION = """Make the face in a video speak a voice. Every pixel outside the face's soft mask, the frame rate and
the voice's samples stay as they are."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command and all its options."""
    parser = subparsers.add_parser("sync", help="lip-sync a video to a voice", description=DESCRIPTION)
    parser.set_defaults(run=run)
    files = parser.add_argument_group("files")
    files.add_argument("--video", required=True, type=Path, help="the video whose face is to speak")
    files.add_argument("--audio", required=True, type=Path, help="the voice: a sound file, or a video with sound")
    files.add_argument(
        "--audio-track", help="which track of a file with several: its number from 1, or its language such as eng"
    )
    files.add_argument("--out", required=True, type=Path, help="the result: .mp4, .mov or .mkv")
    files.add_argument("--overwrite", action="store_true", help="replace an existing result")
    files.add_argument("--resume", action="store_true", help="go on where an interrupted run of the same command ended")
    files.add_argument("--report", type=Path, help="write settings, timings and frame states to this JSON file")
    files.add_argument("--no-score", action="store_true", help="leave how well lips and voice agree out of the report")
    files.add_argument("--contact-sheet", type=Path, help="write a PNG that shows each step on a few frames")
    add_options(parser)
    add_cluster_options(parser)
    return parser


def check_side_file(path: Path | None, suffix: str) -> None:
    """Refuse a report or contact sheet that could not be written after all the work."""
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise LatentSyncError(f"{path} is to be a {suffix} file; name it so.")
    if not path.parent.is_dir() or path.is_dir():
        raise LatentSyncError(f"{path} cannot be written: {path.parent} is no folder, or the name is one.")
    PendingFile(path, overwrite=True).discard()  # permissions and odd file systems show only when one tries


def write_side_file(path: Path, content: bytes, result: Path | str) -> None:
    """Write a report or contact sheet whole or not at all; by now the `result` stands."""
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise LatentSyncError(
            f"{path} could not be written ({error.strerror}); {result} itself is complete."
        ) from error


def check_files(args: argparse.Namespace) -> None:
    """Refuse files that cannot be read or written, before anything heavy is imported."""
    check_inputs((args.video, "a video file"), (args.audio, "a voice recording"))
    check_model_files(args)
    from ..media.write.target import check_target

    check_target(args.out, args.overwrite, (args.video, args.audio))
    check_side_file(args.report, ".json")
    check_side_file(args.contact_sheet, ".png")


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the result stands under its name."""
    show_log(args.verbose)
    needs = needs_from(args)
    settings = settings_from(args)
    check_files(args)
    if needs is not None:
        check_for_cluster(args)
    announce(f"Reading {args.video} and {args.audio} to write {args.out}; loading the model ...")
    from ..media import probe_audio, probe_video
    from ..scoring.run_score import RunScore
    from ..visualize.contact_sheet import ContactSheet

    probe_video(args.video)  # before gigabytes of weights are read
    probe_audio(args.audio, args.audio_track, args.video)
    generator = choice_from(args).load(settings)
    sheet = ContactSheet() if args.contact_sheet else None
    run_score = RunScore(generator.device) if args.report and not args.no_score else None
    watchers = [watcher.observe for watcher in (sheet, run_score) if watcher is not None]
    report = synced(args, generator, settings, watchers, needs)
    if sheet:
        picture = io.BytesIO()
        sheet.save(picture)
        write_side_file(args.contact_sheet, picture.getvalue(), args.out)
    if run_score:
        report = dataclasses.replace(report, scores=run_score.scores(report, args.audio, args.audio_track))
    if args.report:
        write_side_file(args.report, f"{report.to_json()}\n".encode(), args.out)
    sys.stdout.write(summary(report) + "\n")
    return 0


def check_for_cluster(args: argparse.Namespace) -> None:
    """Refuse what a cluster cannot do, and name files as all its machines find them."""
    if args.contact_sheet:
        raise LatentSyncError("A contact sheet shows frames that only the workers of a cluster see; leave it out.")
    make_paths_absolute(args)


def synced(args: argparse.Namespace, generator, settings, watchers: list, needs: Needs | None):
    """The report of the run, here or on a cluster. watchers: each is given every frame that is written here."""
    from ..pipeline.generate import generate
    from ..pipeline.lipsync import ClipFiles, sync_clip

    files, bars = ClipFiles(args.video, args.audio, args.out), StageBars()
    callbacks = Callbacks(
        on_progress=bars.on_progress,
        on_frame=lambda index, frame: [observe(index, frame) for observe in watchers],
        on_estimate=bars.on_estimate if needs is None else None,  # it is this machine's, were it alone
    )
    try:
        if needs is None:
            return sync_clip(files, generator, settings, callbacks, generate)
        from ..cluster.connection import connected
        from ..cluster.segments_on_ray import SegmentsOnRay

        with connected(needs.address):  # before minutes are spent on the voice and the track
            return sync_clip(files, generator, settings, callbacks, SegmentsOnRay(needs, choice_from(args)))
    finally:
        bars.close()


def summary(report) -> str:
    """One line on what was made."""
    from ..intervals import listed

    plain = dataclasses.replace(report).to_dict()
    frames, out = plain["output_frames"], plain["output"]
    where = f" ({listed(report.output_times['untouched'])})" if frames["untouched"] else ""
    return (
        f"{out['path']}: {frames['written']} frames at {out['fps']} fps, {frames['synced']} synced, "
        f"{frames['untouched']} untouched{where}, in {report.seconds:.1f} s."
    )
