"""``batch``: many clips by one command; what is done stays done, and a clip that fails stops nobody."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..cluster.job import Job, JobState
from ..errors import LatentSyncError
from ..progress import never_cancelled
from .cluster_options import add_cluster_options, needs_from
from .first_checks import announce
from .job_file import add_common_options, check_generators, read_jobs
from .terminal import StageBars, duration, show_log

SOME_FAILED = 1  # exit code
PLANNED_WORKERS = (1, 2, 4, 8)  # that --plan tells of unless --parallel says how many

DESCRIPTION = """Lip-sync every clip of a job file: a job a line, with video, audio, perhaps a name, and any setting of
`sync` by its option's name. Results, their reports and summary.csv go into one folder. The same command again does only
what is missing, was interrupted or has changed; options given here hold for every job that says nothing else."""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Register the command."""
    parser = subparsers.add_parser("batch", help="lip-sync the clips of a job file", description=DESCRIPTION)
    parser.set_defaults(run=run)
    parser.add_argument("jobs", type=Path, help="the job file: .jsonl (an object a line) or .csv (with a header)")
    parser.add_argument("--out", required=True, type=Path, help="folder for NAME.mp4, NAME.json and summary.csv")
    parser.add_argument("--overwrite", action="store_true", help="make everything anew, whatever the folder holds")
    parser.add_argument(
        "--plan", action="store_true", help="do nothing but measure, on a few frames, what the jobs will take"
    )
    add_common_options(parser)
    add_cluster_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when every result stands, 1 when some jobs failed."""
    show_log(args.verbose)
    needs = None if args.plan else needs_from(args)
    jobs = read_jobs(args.jobs, args.out.absolute(), args)
    announce(f"Reading {args.jobs}: {len(jobs)} jobs towards {args.out} ...")
    check_generators(args.jobs, jobs)
    left = jobs if args.overwrite else [job for job in jobs if job.state() is not JobState.DONE]
    if args.plan:
        return plan(left, args.parallel, 1.0 if args.gpu_share is None else args.gpu_share)
    make_folder(args.out)
    from ..cluster.jobs_on_ray import run_jobs_on_ray
    from ..cluster.run_job import Outcome, run_jobs
    from ..cluster.summary import SUMMARY, write_summary

    to_make = {job.name for job in left}
    outcomes = {job.name: Outcome.kept(job) for job in jobs if job.name not in to_make}
    write_summary(args.out, jobs, outcomes)
    bar = ClipsBar(done=len(outcomes), total=len(jobs))
    if needs is None:
        ended = run_jobs(left, bar.on_share)
    else:
        ended = run_jobs_on_ray(left, needs, never_cancelled, bar.on_share)
    for outcome in bar.shown(ended):
        outcomes[outcome.job.name] = outcome
        write_summary(args.out, jobs, outcomes)
    failures = sum(outcome.state == "failed" for outcome in outcomes.values())
    sys.stdout.write(
        f"{args.out / SUMMARY}: {len(jobs) - failures} of {len(jobs)} results stand, {len(left)} jobs were run, "
        f"{failures} failed.\n"
    )
    return SOME_FAILED if failures else 0


def plan(jobs: list[Job], workers: int | None, gpu_share: float) -> int:
    """Measure and say what `jobs` will take on some workers like this process; nothing is left behind."""
    from ..cluster.forecast import forecast_batch

    bars = StageBars()
    bars.on_progress("plan", 0, len(jobs))
    try:
        forecast = forecast_batch(jobs, lambda done: bars.on_progress("plan", done, len(jobs)))
    finally:
        bars.close()
    sys.stdout.write(plan_table(forecast, [workers] if workers else PLANNED_WORKERS, gpu_share))
    return 0


def plan_table(forecast, counts: Sequence[int], gpu_share: float) -> str:
    """The forecast in lines: what there is to do, what a frame costs, and hours on so many workers."""
    lines = [
        f"{forecast.clips} clips to make, {forecast.frames} frames, {duration(forecast.video_seconds)} of video"
        + (f"; {forecast.unread} cannot be read" if forecast.unread else "")
    ]
    if forecast.frames:
        pace = {stage: seconds / forecast.frames for stage, seconds in forecast.stages.items()}
        listed = ", ".join(f"{stage} {seconds:.4f}" for stage, seconds in pace.items())
        lines.append(f"Measured on {forecast.device}: {sum(pace.values()):.4f} s a frame ({listed})")
        share = gpu_share if forecast.device == "cuda" else 0.0
        lines.append(f"{'workers':>7} {'hours':>9} {'GPU hours':>10}")
        for count in counts:
            hours = forecast.hours(count)
            lines.append(f"{count:>7} {hours:>9.2f} {hours * count * share:>10.2f}")
        lines.append("If every frame shows a face and clips divide evenly; loading models comes on top.")
    return "\n".join(lines) + "\n"


def make_folder(folder: Path) -> None:
    """The folder of the results. Raises LatentSyncError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatentSyncError(f"{folder}: this folder cannot be made ({error.strerror}); choose another.") from error


class ClipsBar:
    """One bar for a whole batch, with the time left; a clip under way counts by its share that is written.

    done: clips before the first that is run.
    """

    def __init__(self, done: int, total: int):
        self._bars, self._done, self._total = StageBars(), done, total

    def on_share(self, share: float) -> None:
        """How much is done of the clips under way, in clips."""
        self._bars.on_progress("clips", round(self._done + share, 1), self._total)

    def shown(self, outcomes: Iterator) -> Iterator:
        """`outcomes` as they come, each in a line."""
        self._bars.on_progress("clips", self._done, self._total)
        try:
            for outcome in outcomes:
                self._bars.write_line(outcome_line(outcome))
                self._done += 1
                self._bars.on_progress("clips", self._done, self._total)
                yield outcome
        finally:
            self._bars.close()


def outcome_line(outcome) -> str:
    """How a job ended."""
    if outcome.error:
        return f"{outcome.job.name}: failed: {outcome.error}"
    frames = outcome.report["output_frames"]
    return (
        f"{outcome.job.name}: {frames['written']} frames, {frames['synced']} synced, "
        f"in {outcome.report['seconds']:.1f} s"
    )
