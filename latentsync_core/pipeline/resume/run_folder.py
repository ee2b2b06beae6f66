"""The folder beside the output in which a run keeps what it has finished, so that the next can go on from there."""

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from ...atomic_write import TEMPORARY_PREFIX, atomic_write, sync_folder
from ...audio import FeatureFile
from ...errors import LatentSyncError
from ...faces import FaceTrack
from ...generators.segments import Segment
from ...media.write.parts import PART_EXTENSION, part_order
from ...media.write.target import refusing_failed_writes
from ...run_log import RunLog
from ...versions import plain
from ..plan import TrackedSource
from .fingerprint import differences
from .folder_lock import FolderInUseError, FolderLock

log = logging.getLogger(__name__)

FOLDER_SUFFIX = ".parts"
NAME_BYTES = 255  # the longest name common file systems take
OWN_FILES = re.compile(
    rf"run\.json|track\.npz|lock|segment-\d+(\.json|{re.escape(PART_EXTENSION)})|{re.escape(TEMPORARY_PREFIX)}.*"
)
DIFFERENCES_NAMED = 3


@dataclass(frozen=True)
class SegmentRecord:
    """What is known of a finished segment beside its pictures.

    synced: frames with a generated mouth. precisions: by stage, the one its network was left in, which half precision
    that ends in NaN raises for good. warnings: logged meanwhile.
    """

    synced: int
    precisions: dict[str, str]
    warnings: tuple[str, ...] = ()


class RunFolder:
    """Finished segments of a run towards `target`; entering locks the folder, leaving removes or keeps it.

    An error keeps what is finished, if that is at least one segment, and success leaves nothing.
    resume: go on with what an earlier run left. overwrite: start anew where it left something. Raises LatentSyncError
    where it left something and neither is asked for, and while another run is at work on the target.
    """

    def __init__(self, target: Path, resume: bool, overwrite: bool):
        self.target, self.path = target, folder_beside(target)
        self._resume, self._overwrite = resume, overwrite
        self._lock = FolderLock(self.path / "lock")
        self._begun = False
        self._total = 0
        self._scratch: list[BinaryIO] = []
        self.before: dict[str, Any] | None = None  # what the earlier run noted about itself

    def __enter__(self) -> "RunFolder":
        with refusing_failed_writes(self.target):
            self.path.mkdir(exist_ok=True)
            self._take_lock()
        try:
            self._look()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind, *_) -> None:
        for file in self._scratch:
            file.close()
        finished = len(self._finished_parts())
        if self._begun and (kind is None or not finished):
            self._clear()
        elif self._begun:
            log.warning(
                "%s: %d of %d segments are finished and kept in %s; the same command with --resume goes on from there.",
                self.target,
                finished,
                self._total,
                self.path,
            )
        self._leave()

    def check_same(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise LatentSyncError where the earlier run, if one is resumed, was another in some way that matters."""
        if self.before is None:
            return
        found = differences(self.before["fingerprint"], fingerprint)
        if found:
            listed = "; ".join(found[:DIFFERENCES_NAMED]) + ("; ..." if len(found) > DIFFERENCES_NAMED else "")
            raise LatentSyncError(
                f"{self.target}: the segments in {self.path} belong to a run that differs ({listed}); "
                "ask for the same again, or start anew with --overwrite"
            )

    def tracked(self) -> TrackedSource | None:
        """What the earlier run learnt from its pass over the source."""
        if self.before is None:
            return None
        try:
            with np.load(self.path / "track.npz") as arrays:
                track, stamps = FaceTrack.from_arrays(arrays), arrays["times"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise LatentSyncError(
                f"{self.path}: the face track in it is damaged ({error}); remove the folder"
            ) from error
        times = tuple(Fraction(int(over), int(under)) for over, under in stamps)
        return TrackedSource(track, times, self.before["complete"], self.before["damage"])

    def begin(self, fingerprint: Mapping[str, Any], tracked: TrackedSource, segments: int, run_log: RunLog) -> None:
        """Make the folder this run's: unless it is resumed, empty it and note what the run is and warned of so far."""
        self._begun, self._total = True, segments
        if self.before is not None:
            run_log.add_warnings(self.before["warnings"])
            return
        self._clear()
        times = np.array([time.as_integer_ratio() for time in tracked.times], np.int64)
        arrays = tracked.track.to_arrays()
        run = {
            "fingerprint": fingerprint,
            "segments": segments,
            "complete": tracked.complete,
            "warnings": run_log.warnings,
        }
        self._write("track.npz", lambda file: np.savez(file, **arrays, times=times))
        self._write("run.json", text(json.dumps({**run, "damage": plain(tracked.damage)}, indent=1)))

    def keep(self, pieces: Iterable[Tensor]) -> FeatureFile:
        """Pieces of features in a nameless file that goes with the run."""
        with refusing_failed_writes(self.target):
            file = tempfile.TemporaryFile(dir=self.path, prefix=TEMPORARY_PREFIX)
            self._scratch.append(file)
            return FeatureFile(file, pieces)

    def part(self, segment: Segment) -> Path:
        """The file of a segment's pictures."""
        return self.path / f"segment-{segment.index + 1:05}{PART_EXTENSION}"

    def finished(self, segment: Segment) -> SegmentRecord | None:
        """What is known of `segment` if it is finished and whole."""
        part = self.part(segment)
        if self.before is None or not part.exists():
            return None
        try:
            part_order(part, segment.start, segment.stop)
            record = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
            return SegmentRecord(**{**record, "warnings": tuple(record["warnings"])})
        except (LatentSyncError, OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s; it is made again.", error)
            return None

    def note(self, segment: Segment, record: SegmentRecord) -> None:
        """Write down what is known of `segment`, before its pictures get their name."""
        self._write(self.part(segment).with_suffix(".json").name, text(json.dumps(asdict(record))))

    def put(self, segment: Segment, record: SegmentRecord, content: bytes) -> None:
        """Keep a segment that was made elsewhere: what is known of it, then its pictures' file."""
        self.note(segment, record)
        self._write(self.part(segment).name, lambda file: file.write(content))

    def _take_lock(self) -> None:
        try:
            self._lock.acquire()
        except FolderInUseError as error:
            raise LatentSyncError(
                f"{self.target}: another run (process {error}) is writing this file; wait for it or choose another name"
            ) from error

    def _look(self) -> None:
        """Find out what an earlier run left."""
        foreign = [path.name for path in self.path.iterdir() if not OWN_FILES.fullmatch(path.name)]
        if foreign:
            raise LatentSyncError(
                f"{self.path}: this folder is needed for finished segments but holds {foreign[0]!r}; move it away"
            )
        for stump in self.path.glob(f"{TEMPORARY_PREFIX}*"):  # what a kill has cut off
            stump.unlink()
        note = self.path / "run.json"
        if not note.exists() or (self._overwrite and not self._resume):
            return
        try:
            run = json.loads(note.read_text(encoding="utf-8"))
            total = run["segments"]
        except (ValueError, KeyError) as error:
            raise LatentSyncError(f"{note}: it is damaged; remove {self.path} and start anew") from error
        if not self._resume:
            raise LatentSyncError(
                f"{self.target}: {len(self._finished_parts())} of {total} segments of an unfinished run are there; "
                "add --resume to continue it or --overwrite to start anew"
            )
        self.before = run

    def _finished_parts(self) -> list[Path]:
        return sorted(self.path.glob(f"segment-*{PART_EXTENSION}"))

    def _write(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        with refusing_failed_writes(self.target):
            with atomic_write(self.path / name) as temporary, open(temporary, "wb") as file:
                write(file)

    def _clear(self) -> None:
        """Remove what runs have put here, the note that says so first."""
        own = [path for path in self.path.iterdir() if OWN_FILES.fullmatch(path.name) and path.name != "lock"]
        for path in sorted(own, key=lambda path: path.name != "run.json"):
            path.unlink(missing_ok=True)

    def _leave(self) -> None:
        """Lift the lock; a folder with nothing in it goes."""
        self._lock.release()
        with contextlib.suppress(OSError):  # not empty
            self.path.rmdir()
            sync_folder(self.path.parent)


def text(content: str) -> Callable[[BinaryIO], Any]:
    """Writes `content` to a file."""
    return lambda file: file.write(content.encode())


def folder_beside(target: Path) -> Path:
    """Where the segments of `target` are kept: "clip.mp4.parts", shortened where no such name is possible."""
    name = target.name
    letters = os.fsencode(name)
    if len(letters) + len(FOLDER_SUFFIX) > NAME_BYTES:
        digest = hashlib.sha256(letters).hexdigest()[:16]
        room = NAME_BYTES - len(FOLDER_SUFFIX) - len(digest) - 1
        name = f"{letters[:room].decode('utf-8', 'ignore')}-{digest}"
    return target.with_name(name + FOLDER_SUFFIX)
