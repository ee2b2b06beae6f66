"""The job file of ``batch``: a clip a line, its settings read by the parser of ``sync``, every mistake by its line."""

import argparse
import copy
import csv
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ..cluster.input_source import Source, check_source, parse_source, stem_of
from ..cluster.job import Job
from ..errors import LatentSyncError
from ..input_files import check_readable
from .cluster_options import make_paths_absolute
from .first_checks import check_model_files, choice_from
from .sync_options import add_options
from .sync_settings import settings_from

log = logging.getLogger(__name__)

KINDS = (".jsonl", ".csv")
NAME_BYTES = 240  # of a result, which leaves room for what is put beside it
FORBIDDEN = set('/\\\0<>:"|?*')  # on one system or another
NOT_OF_A_LINE = ("verbose", "out", "overwrite", "resume", "report", "contact-sheet")  # the batch's own affair


class LineParser(argparse.ArgumentParser):
    """Reads the settings of a line as ``sync`` reads its options; what is wrong raises LatentSyncError."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("--video", required=True, type=parse_source)
        self.add_argument("--audio", required=True, type=parse_source)
        self.add_argument("--name")
        add_common_options(self)

    def error(self, message: str) -> NoReturn:
        """What argparse has to say, as an error of ours."""
        raise LatentSyncError(f"{message}.")

    def arguments(self, fields: dict[str, Any]) -> list[str]:
        """The options that the fields of a line stand for; raises LatentSyncError for one that is none."""
        known = {name: action for action in self._actions for name in action.option_strings}
        given = []
        for field, value in fields.items():
            option = f"--{str(field).strip().removeprefix('--').replace('_', '-')}"
            if option not in known or option.removeprefix("--") in NOT_OF_A_LINE:
                raise LatentSyncError(f"{field!r} is no setting of a job; see `sync --help`, and name it without --.")
            given += option_words(option, value, is_flag=known[option].nargs == 0)
        return given


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """What may be said of all jobs on the command line, and of one in its line."""
    parser.add_argument("--audio-track", help="of every voice: which track, a number from 1 or a language such as eng")
    parser.add_argument("--no-score", action="store_true", help="leave how well lips and voice agree out of reports")
    add_options(parser)


def option_words(option: str, value: Any, is_flag: bool) -> list[str]:
    """An option and its value as on a command line; nothing for one that is not given."""
    if value is None or value == "":
        return []
    if not is_flag:
        if isinstance(value, (bool, list, dict)):
            raise LatentSyncError(f"{option} is {json.dumps(value)}; a text or a number is needed.")
        return [f"{option}={value}"]
    said = str(value).strip().lower()
    if said not in ("true", "false"):
        raise LatentSyncError(f"{option} is {value!r}; true or false is needed.")
    return [option] if said == "true" else []


def read_jobs(path: Path, folder: Path, common: argparse.Namespace) -> list[Job]:
    """The jobs of a file, with results in `folder`; common: options of all lines that say nothing else.

    Every mistake is logged with its line. Raises LatentSyncError where there was one, or where there is no job.
    """
    check_readable(path, "a job file")
    if path.suffix.lower() not in KINDS:
        raise LatentSyncError(f"{path}: a job file is to end in {' or '.join(KINDS)}; name it so.")
    parser = LineParser()
    jobs: list[Job] = []
    mistakes: list[tuple[int, LatentSyncError]] = []
    for line, fields in numbered_lines(path):
        try:
            job = job_of(line, fields, folder, parser, common)
            check_name(job, jobs)
            jobs.append(job)
        except LatentSyncError as error:
            mistakes.append((line, error))
    refuse(path, mistakes)
    if not jobs:
        raise LatentSyncError(f"{path}: there is no job in this file; write one a line, with video and audio.")
    return jobs


def check_generators(path: Path, jobs: list[Job]) -> None:
    """Refuse settings that a job's generator has no use for, once it is time to import what knows; as read_jobs."""
    mistakes = []
    for job in jobs:
        try:
            job.choice.check(job.settings)
        except LatentSyncError as error:
            mistakes.append((job.line, error))
    refuse(path, mistakes)


def refuse(path: Path, mistakes: list[tuple[int, LatentSyncError]]) -> None:
    """Log every mistake with its line; raises LatentSyncError where there are any."""
    for line, error in mistakes:
        log.error("%s, line %d: %s", path, line, error)
    if mistakes:
        raise LatentSyncError(f"{path}: {len(mistakes)} of its jobs cannot be run; nothing was, mend them first.")


def numbered_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """(line number, the fields of a job, or the error of a line that cannot be read) for every line with a job."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LatentSyncError(f"{path}: this file is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    if path.suffix.lower() == ".csv":
        rows = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
        try:
            yield from ((rows.line_num, row) for row in rows)
        except csv.Error as error:
            yield rows.line_num, LatentSyncError(f"this is no CSV ({error}).")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                yield number, LatentSyncError(f"this is no JSON ({error}).")


def job_of(line: int, fields: Any, folder: Path, parser: LineParser, common: argparse.Namespace) -> Job:
    """The job of a line; raises LatentSyncError for settings or files that cannot be."""
    if isinstance(fields, LatentSyncError):
        raise fields
    if not isinstance(fields, dict):
        raise LatentSyncError(f'{json.dumps(fields)} is no job; an object such as {{"video": ..., "audio": ...}} is.')
    if fields.get(""):
        raise LatentSyncError("there are more cells than columns; quote a cell that holds a comma.")
    args = parser.parse_args(parser.arguments(fields), copy.copy(common))
    args.resume = False
    make_paths_absolute(args)
    settings = settings_from(args)
    for source, needs in ((args.video, "a video file"), (args.audio, "a voice recording")):
        check_source(source, needs)
    check_model_files(args)
    return Job(
        line=line,
        video=absolute(args.video),
        audio=absolute(args.audio),
        output=folder / file_name(args),
        choice=choice_from(args),
        settings=settings,
        scored=not args.no_score,
    )


def absolute(source: Source) -> Source:
    """A path that means the same in any folder; an address does."""
    return source.absolute() if isinstance(source, Path) else source


def file_name(args: argparse.Namespace) -> str:
    """The result's: as the line names it, or after the video and the voice; .mp4 unless it ends otherwise."""
    from ..media.write.target import EXTENSIONS

    video, audio = stem_of(args.video), stem_of(args.audio)
    name = args.name or (video if video == audio else f"{video}-{audio}")
    if FORBIDDEN & set(name) or name.startswith(".") or not name.isprintable():
        raise LatentSyncError(f"the name {name!r} cannot be a file's; leave out a dot in front and {' '.join('/:*?')}.")
    if len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES:
        raise LatentSyncError(f"the name {name!r} is longer than {NAME_BYTES} bytes; give a shorter one as name.")
    return name if name.lower().endswith(EXTENSIONS) else f"{name}.mp4"


def check_name(job: Job, before: list[Job]) -> None:
    """Raise LatentSyncError where another line's result would have the same name, or where a foreign file has it."""
    for other in before:
        if other.name.lower() == job.name.lower():
            raise LatentSyncError(f"line {other.line} has the result {job.name!r} too; give one of them another name.")
    if job.output.exists() and job.earlier_report() is None and not job.settings.overwrite:
        raise LatentSyncError(f"{job.output} exists and is no batch's; move it away, or add --overwrite.")
