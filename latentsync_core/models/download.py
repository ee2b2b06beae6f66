"""Fetch a published model file from the Hugging Face Hub: resumed where interrupted, verified, then moved into place.

This is the only code in the package that opens a connection, and only the ``download`` command and the button Get
models of the loader nodes call it. The Hub's plain HTTP interface is used rather than its client library, whose
current versions discard an interrupted file: here the bytes are appended to ``<name>.part`` beside the final path, a
second call requests the rest only (HTTP Range), and the final name appears only when size and SHA-256 are right.
"""

import errno
import hashlib
import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlsplit

import requests

from ..errors import LatentSyncError
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from .catalog import (
    HUB,
    ModelFile,
    find,
    is_complete,
)

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16  # a broken connection loses at most so much
SPARE_DISK_BYTES = 64 << 20  # left free beside the file
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 60
RETRY_PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0)  # between attempts that received nothing
OTHER_FOLDER = "--models or LATENTSYNC_MODELS, in ComfyUI extra_model_paths.yaml"
SHA256 = re.compile(r"[0-9a-f]{64}")


class InterruptedTransferError(Exception):
    """The connection broke or the server is busy: another attempt can resume from here."""


class Part:
    """What has arrived of a file so far, on disk, with its running SHA-256."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.content = hashlib.sha256()
        with open(file.name, "rb") as earlier:
            while chunk := earlier.read(CHUNK_BYTES):
                self.content.update(chunk)
        self.size = os.path.getsize(file.name)

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        self.file.write(chunk)
        self.content.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Discard everything that arrived."""
        self.file.seek(0)
        self.file.truncate()
        self.content = hashlib.sha256()
        self.size = 0


def download(
    model: ModelFile,
    directory: str | Path,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
    endpoint: str | None = None,
    token: str | None = None,
) -> Path:
    """Fetch what is missing of `model` into the models folder `directory`; returns the path of the whole file.

    Args:
        model: what to download, from the catalogue.
        directory: the models folder; it is created if necessary.
        on_progress: counts bytes, those of an earlier attempt included.
        check_cancelled: called for every 64 KiB; what it raises leaves the part for the next call.
        endpoint: a mirror; None = $HF_ENDPOINT, else the Hub.
        token: of an account; None = $HF_TOKEN.

    Nothing else is read from the environment but HF_HUB_OFFLINE, which forbids it, and the usual proxy variables.
    Raises LatentSyncError: offline, no network, not found, no space, not writable, wrong content.
    """
    directory = Path(directory)
    present = find(model, directory)
    if present is not None and is_complete(model, present):
        on_progress(model.size, model.size)
        return present
    return download_to(model, directory / model.target, on_progress, check_cancelled, endpoint, token)


def download_to(
    model: ModelFile,
    target: Path,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
    endpoint: str | None = None,
    token: str | None = None,
) -> Path:
    """Fetch `model` as the file `target`, which must not exist; its folder is created if necessary.

    on_progress, check_cancelled, endpoint, token, and what is raised: as of `download`.
    """
    part = fetch_part(model, target, on_progress, check_cancelled, endpoint, token)
    try:
        os.replace(part, target)
    except OSError as error:
        raise unwritable(model, target.parent, error) from error
    return target


def fetch_part(
    model: ModelFile,
    target: Path,
    on_progress: OnProgress,
    check_cancelled: CheckCancelled,
    endpoint: str | None,
    token: str | None,
) -> Path:
    """The part file beside `target`, whole and verified, still under its own name; arguments as of `download_to`."""
    refuse_if_forbidden(model, target)
    url = resolve_url(model, endpoint)
    part_path = part_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(part_path, "ab") as file:
            part = Part(file)
            require_disk_space(model, target.parent, model.size - part.size)
            fetch(model, part, url, token or os.environ.get("HF_TOKEN"), on_progress, check_cancelled)
        if part.content.hexdigest() != model.sha256:
            part_path.unlink()
            raise LatentSyncError(
                f"{model.name} arrived with SHA-256 {part.content.hexdigest()[:12]}... instead of "
                f"{model.sha256[:12]}..., so it was removed; download it again, and if that repeats, "
                f"{urlsplit(url).netloc} serves another file."
            )
    except OSError as error:
        raise unwritable(model, target.parent, error) from error
    finally:
        remove_if_empty(part_path)
    return part_path


def part_of(target: Path) -> Path:
    """Where the bytes of `target` are collected until they are all there."""
    return target.with_name(target.name + ".part")


def hub_is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids to ask the Hub, read as its own client library does."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def refuse_if_forbidden(model: ModelFile, target: Path) -> None:
    """Raise before anything is written: where HF_HUB_OFFLINE forbids it, or where a file of the user is in the way."""
    if hub_is_offline():
        raise LatentSyncError(
            f"HF_HUB_OFFLINE is set, so {model.name} was not downloaded; unset it, or {by_hand(model, target)}."
        )
    if target.exists():
        raise LatentSyncError(
            f"{target} exists but has {target.stat().st_size:,} bytes where {model.size:,} are expected; it may be "
            "damaged or another model: move it away and run the download again."
        )


def require_disk_space(model: ModelFile, folder: Path, missing: int) -> None:
    """Refuse when `missing` bytes of `model` do not fit into `folder`."""
    free = shutil.disk_usage(folder).free
    if missing + SPARE_DISK_BYTES > free:
        raise LatentSyncError(
            f"{folder} has {free / 1e9:.1f} GB free, but {model.name} needs {missing / 1e9:.1f} GB more; "
            f"make room or choose another models folder ({OTHER_FOLDER})."
        )


def unwritable(model: ModelFile, folder: Path, error: OSError) -> LatentSyncError:
    """The error for a folder that cannot be written to, or whose disk is full."""
    if error.errno == errno.ENOSPC:
        return LatentSyncError(
            f"The disk of {folder} filled up while {model.name} was being downloaded; make room and start it "
            "again: it goes on where it stopped."
        )
    return LatentSyncError(
        f"{model.name} cannot be written to {folder} ({error.strerror or error}); choose another models folder "
        f"({OTHER_FOLDER})."
    )


def resolve_url(model: ModelFile, endpoint: str | None) -> str:
    """The URL of the file's content at its pinned revision."""
    base = (endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    return f"{base}/{model.repo_id}/resolve/{model.revision}/{quote(model.filename)}"


def by_hand(model: ModelFile, target: Path) -> str:
    """How to download the file without this command."""
    return f"fetch {model.page} in a browser and save it as {target}"


def remove_if_empty(path: Path) -> None:
    """Remove the part file where nothing arrived."""
    if path.is_file() and path.stat().st_size == 0:
        path.unlink()


def fetch(
    model: ModelFile, part: Part, url: str, token: str | None, on_progress: OnProgress, check_cancelled: CheckCancelled
) -> None:
    """Append to `part` until it has the size of `model`, over as many connections as it takes.

    Args:
        model: the file expected.
        part: what has arrived so far.
        url: of the file's content.
        token: of an account, or None.
        on_progress: counts bytes.
        check_cancelled: called for every 64 KiB.

    Raises LatentSyncError after several attempts in a row that received nothing.
    """
    if part.size > model.size:
        part.restart()
    on_progress(part.size, model.size)
    failed_attempts = 0
    while (start := part.size) < model.size:
        try:
            append_rest(model, part, url, token, on_progress, check_cancelled)
        except InterruptedTransferError as interruption:
            failed_attempts = 0 if part.size > start else failed_attempts + 1
            if failed_attempts == len(RETRY_PAUSES_S):
                raise LatentSyncError(
                    f"The download of {model.name} stopped at {part.size / 1e6:,.1f} of {model.size / 1e6:,.1f} MB "
                    f"({interruption}); start it again: it goes on where it stopped."
                ) from interruption
            logger.warning("%s: %s; going on at byte %d", model.name, interruption, part.size)
            time.sleep(RETRY_PAUSES_S[failed_attempts])


def append_rest(
    model: ModelFile, part: Part, url: str, token: str | None, on_progress: OnProgress, check_cancelled: CheckCancelled
) -> None:
    """Append what one request returns of the rest of `part`.

    Args:
        model, part, url, token, on_progress, check_cancelled: as for `fetch`.

    Raises InterruptedTransferError when that was not all of it.
    """
    with open_response(model, url, token, part.size) as response:
        refuse_bad_response(model, urlsplit(url).netloc, response)
        if response.status_code != requests.codes.partial_content and part.size:
            part.restart()  # the server does not support Range and sends the whole file
        try:
            for chunk in response.iter_content(CHUNK_BYTES):
                check_cancelled()
                part.append(chunk)
                on_progress(part.size, model.size)
        except requests.RequestException as error:
            raise InterruptedTransferError("the connection broke") from error
    if part.size < model.size:
        raise InterruptedTransferError("the connection closed early")


def open_response(model: ModelFile, url: str, token: str | None, start: int) -> requests.Response:
    """Request `url` from byte `start` on."""
    headers = {"Accept-Encoding": "identity"}  # uncompressed, since Range counts published bytes
    if start:
        headers["Range"] = f"bytes={start}-"
    if token:
        headers["Authorization"] = f"Bearer {token}"  # requests drops it on a redirect to another host
    server = urlsplit(url).netloc
    try:
        return requests.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S))
    except requests.RequestException as error:
        if start:
            raise InterruptedTransferError(f"no connection to {server}") from error
        raise LatentSyncError(
            f"{model.name} could not be downloaded: no connection to {server} ({type(error).__name__}); check the "
            f"network, the proxy and HF_ENDPOINT, or fetch {model.page} in a browser and save it as {model.target} "
            "in the models folder."
        ) from error


def refuse_bad_response(model: ModelFile, server: str, response: requests.Response) -> None:
    """Raise for an HTTP error, or where the server offers other content than `model`."""
    status = response.status_code
    if status == requests.codes.too_many_requests or status >= 500:
        raise InterruptedTransferError(f"{server} answered HTTP {status}")
    where = f"{model.repo_id} on {server}"
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        raise LatentSyncError(
            f"{where} does not exist or wants an account (HTTP {status}); set HF_TOKEN to a token that may read it."
        )
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise LatentSyncError(
            f"{where} has no {model.filename} at revision {model.revision[:8]} (HTTP {status}); if HF_ENDPOINT names "
            "a mirror, try without it."
        )
    for answer in (
        *response.history,
        response,
    ):  # the Hub's headers describe the file before it redirects to its storage
        etag = answer.headers.get("X-Linked-Etag", "").strip('W/"')
        size = answer.headers.get("X-Linked-Size", str(model.size))
        if size != str(model.size) or (SHA256.fullmatch(etag) and etag != model.sha256):
            raise LatentSyncError(
                f"{where} offers another {model.filename} ({size} bytes, SHA-256 {etag[:12]}...) than the published "
                f"one ({model.size} bytes, {model.sha256[:12]}...); nothing was downloaded."
            )
