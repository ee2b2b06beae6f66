"""What a run need not do again: the face track, kept by content in the cache on disk."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..digests import known_digest
from ..disk_cache import DiskCache, content_key
from ..entry_file import read_entry, write_entry
from ..faces import FaceTrack
from ..faces.tracking.search import TrackingSettings
from ..faces.tracking.selection import FaceSelection
from ..run_log import noting_warnings, repeat
from ..versions import computing_versions, plain
from .plan import TrackedSource

TRACKS = "face tracks"  # kind of entries, and their folder's name
TRACK_VERSION = 1  # raise it when tracking gives other numbers


def track_key(
    video: Path, cache: DiskCache, selection: FaceSelection, tracking: TrackingSettings, **parts: Any
) -> dict[str, Any]:
    """Everything a track depends on, but how far the video is read; parts: what else, of what JSON knows."""
    mask = None if selection.mask is None else np.ascontiguousarray(selection.mask, np.float32)
    return {
        "version": TRACK_VERSION,
        "packages": computing_versions(),
        "video": known_digest(video, cache),
        "face": [selection.kind, selection.numbers, selection.relative],
        "mask": None if mask is None else [mask.shape, hashlib.sha256(mask.data).hexdigest()],
        "tracking": asdict(tracking),
        **parts,
    }


def cached_track(
    cache: DiskCache, key: dict[str, Any], needed: Fraction | None, compute: Callable[[], TrackedSource]
) -> TrackedSource:
    """The track under `key` of a video's first `needed` seconds, or all of it; from the cache, else from `compute()`.

    A track of the whole video also serves whoever needs more seconds than there are.
    """
    whole, part = content_key(**key, needed=None), content_key(**key, needed=str(needed))

    def read(path: Path) -> TrackedSource | None:
        tracked, warnings = read_track(path)
        if needed is not None and tracked.complete and tracked.times[-1] >= needed:
            return None
        repeat(warnings)
        return tracked

    tracked = cache.get(TRACKS, part if cache.path(TRACKS, part).exists() else whole, read)
    if tracked is None:
        with noting_warnings() as warnings:
            tracked = compute()
        found = whole if tracked.complete else part
        cache.put(TRACKS, found, lambda path: write_track(path, tracked, warnings))
    return tracked


def write_track(path: Path, tracked: TrackedSource, warnings: Sequence[str]) -> None:
    """Write a track and the warnings that its making gave."""
    times = np.array([time.as_integer_ratio() for time in tracked.times], np.int64)
    arrays = {**tracked.track.to_arrays(), "times": times}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    about = {"complete": tracked.complete, "damage": plain(tracked.damage), "warnings": list(warnings)}
    write_entry(path, tensors, about)


def read_track(path: Path) -> tuple[TrackedSource, list[str]]:
    """What `write_track` was given; raises ValueError for a damaged file."""
    tensors, about = read_entry(path)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    times = tuple(Fraction(over, under) for over, under in arrays["times"].tolist())
    return TrackedSource(FaceTrack.from_arrays(arrays), times, about["complete"], about["damage"]), about["warnings"]


def cache_use(cache: DiskCache | None) -> dict[str, Any]:
    """For the report: the folder, and how many results of each kind came from it, and how many were computed."""
    if cache is None:
        return {}
    return {"folder": str(cache.folder), "found": dict(cache.found), "computed": dict(cache.computed)}
