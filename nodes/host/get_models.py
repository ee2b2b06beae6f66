"""The download behind the button Get models: one at a time, in a thread of its own, watched and stopped by the page."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.models.catalog import ModelFile
from .published_files import FOLDERS, LOADERS, listed_files, listed_name, offline_reason, target_of

log = logging.getLogger(__name__)

TELL_SECONDS = 0.25  # between two messages to the page


class CancelledError(Exception):
    """The user pressed Cancel."""


class BusyError(LatentSyncError):
    """Another download is running."""


class OfflineError(LatentSyncError):
    """The host was started to stay offline."""


@dataclass(frozen=True)
class Status:
    """How far a download is, as the page is told.

    state: "idle", "running", "done", "cancelled" or "failed". loader: the node type whose button was pressed. file: the
    published file, number of files. stage: "download" (done and total in bytes) or "round" (in tensors). seconds_left:
    of the stage, None where unknown. error: a sentence. fetched: published name -> name that the loaders list. at: when
    it was so, Unix seconds, by which the page tells which of two answers is the later.
    """

    state: str = "idle"
    loader: str = ""
    file: str = ""
    number: int = 0
    files: int = 0
    stage: str = "download"
    done: int = 0
    total: int = 0
    seconds_left: int | None = None
    error: str | None = None
    fetched: tuple[tuple[str, str], ...] = ()
    at: float = 0.0

    def as_message(self) -> dict:
        """For the page."""
        return {**asdict(self), "fetched": dict(self.fetched)}


class Downloads:
    """The host's one download. tell: called with every Status, from the download's thread."""

    def __init__(self, tell: Callable[[Status], None]):
        self.status = Status()
        self._tell = tell
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._told = 0.0

    def start(self, loader: str, names: Sequence[str], fp16: bool) -> None:
        """Begin to fetch files of the catalogue by name. fp16: keep UNets as fp16 copies in half the size.

        Raises OfflineError, BusyError where another one runs, and LatentSyncError for a name that is not the loader's.
        """
        if reason := offline_reason():
            raise OfflineError(reason)
        models = chosen(loader, names)
        with self._lock:
            if self.status.state == "running":
                raise BusyError(f"{self.status.file} is being fetched; wait for it, or cancel it first.")
            begun = Status("running", loader, models[0].name, 1, len(models), total=models[0].size)
            self.status = replace(begun, at=time.time())
            self._cancel.clear()
        threading.Thread(target=self._run, args=(models, fp16), name="latentsync-get-models", daemon=True).start()

    def cancel(self) -> None:
        """Stop what is running; what has arrived stays for the next time."""
        self._cancel.set()

    def _run(self, models: Sequence[ModelFile], fp16: bool) -> None:
        try:
            for number, model in enumerate(models, start=1):
                self._show(file=model.name, number=number, stage="download", done=0, total=model.size)
                name = listed_name(model) or self._fetch(model, fp16)
                self.status = replace(self.status, fetched=(*self.status.fetched, (model.name, name)))
            self._show(state="done", seconds_left=None)
        except CancelledError:
            self._show(state="cancelled", seconds_left=None)
        except LatentSyncError as error:
            self._show(state="failed", error=str(error))
        except Exception as error:  # a thread has no caller; the page and the log are told instead
            log.exception("fetching %s failed", self.status.file)
            self._show(state="failed", error=f"{self.status.file}: {error!r}; see ComfyUI's log.")

    def _fetch(self, model: ModelFile, fp16: bool) -> str:
        """The name under which the loaders list what has come."""
        from ...latentsync_core.models.download import download_to

        target, progress = target_of(model), StageClock(self)
        if fp16 and model.fp16_name:
            from ...latentsync_core.models.fp16_copy import download_fp16

            path = download_fp16(
                model,
                target,
                published=None,
                keep_published=False,
                on_progress=progress.show,
                check_cancelled=self._check_cancelled,
            )
        else:
            path = download_to(
                model, target, lambda done, total: progress.show("download", done, total), self._check_cancelled
            )
        return name_of(path, model)

    def _check_cancelled(self) -> None:
        if self._cancel.is_set():
            raise CancelledError

    def show_stage(self, stage: str, done: int, total: int, seconds_left: int | None) -> None:
        """So much of a file's stage is done."""
        now = time.time()
        self.status = replace(self.status, stage=stage, done=done, total=total, seconds_left=seconds_left, at=now)
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self._tell(self.status)

    def _show(self, **changes: Any) -> None:
        self.status = replace(self.status, at=time.time(), **changes)
        self._tell(self.status)


class StageClock:
    """The time left of each stage of a file, by its speed since it began here."""

    def __init__(self, downloads: Downloads):
        self.downloads, self.stage, self.begun, self.first = downloads, "", 0.0, 0

    def show(self, stage: str, done: int, total: int) -> None:
        """Hand on how far the stage is, with the seconds left."""
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.begun, self.first = stage, now, done
        arrived = done - self.first
        left = round((now - self.begun) / arrived * (total - done)) if arrived > 0 else None
        self.downloads.show_stage(stage, done, total, left)


def chosen(loader: str, names: Sequence[str]) -> tuple[ModelFile, ...]:
    """The files of a loader node by their names in the catalogue, which are all that may be asked for."""
    if loader not in LOADERS:
        raise LatentSyncError(f"There is no loader {loader!r}; known are {', '.join(LOADERS)}.")
    known = {model.name: model for model in LOADERS[loader].files}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise LatentSyncError(f"{unknown or 'Nothing'} cannot be fetched for {loader}; choose of {', '.join(known)}.")
    return tuple(known[name] for name in dict.fromkeys(names))


def name_of(path: Path, model: ModelFile) -> str:
    """The name under which the loaders list a file that has just come."""
    listed = (name for key in FOLDERS[model] for name, place in listed_files(key) if place == path)
    return next(listed, path.name)
