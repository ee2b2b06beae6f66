"""The table of a batch: one row for every line of the job file."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..atomic_write import atomic_write
from ..file_names import valid_text
from .job import Job
from .run_job import Outcome

SUMMARY = "summary.csv"
COLUMNS = ("line", "name", "state", "frames", "synced", "seconds", "offset_frames", "correlation", "warnings", "error")


def write_summary(folder: Path, jobs: Iterable[Job], outcomes: Mapping[str, Outcome]) -> None:
    """Write the table; outcomes: by name, of the jobs that have one so far; the others are "waiting"."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for job in jobs:
        outcome = outcomes.get(job.name)
        writer.writerow(row_of(outcome) if outcome else {"line": job.line, "name": job.name, "state": "waiting"})
    with atomic_write(folder / SUMMARY) as temporary:
        temporary.write_text(valid_text(text.getvalue()), encoding="utf-8", newline="")


def row_of(outcome: Outcome) -> dict[str, object]:
    """What the table tells of a job that has ended; scores are those of its report."""
    report = outcome.report
    frames, scores = report.get("output_frames", {}), report.get("scores", {})
    return {
        "line": outcome.job.line,
        "name": outcome.job.name,
        "state": outcome.state,
        "frames": frames.get("written"),
        "synced": frames.get("synced"),
        "seconds": report.get("seconds"),
        "offset_frames": scores.get("offset_frames"),
        "correlation": scores.get("correlation"),
        "warnings": len(report["warnings"]) if "warnings" in report else None,
        "error": outcome.error,
    }
