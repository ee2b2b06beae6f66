"""What a run need not do again: the face track, kept by content in the cache on disk."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..digests import known_digest
from ..disk_cache import DiskCache, content_key
from ..entry_file import read_entry, write_entry
from ..faces import FaceTrack, parse_face
from ..faces.tracking.search import TrackingSettings
from ..faces.tracking.selection import FaceSelection
from ..run_log import noting_warnings, repeat
from ..settings import Settings
from ..versions import computing_versions, plain
from .plan import Inputs, TrackedSource

TRACKS = "face tracks"  # kind of entries, and their folder's name
TRACK_VERSION = 1  # raise it when tracking gives other numbers


def track_key(
    video: Path, cache: DiskCache, selection: FaceSelection, tracking: TrackingSettings, **parts: Any
) -> dict[str, Any]:
    """Everything a track depends on, but how far the video is read; parts: what else, of what JSON knows."""
    in_frame = [selection.frame] if selection.frame else []  # none in the keys of tracks kept before there were any
    mask = None if selection.mask is None else np.ascontiguousarray(selection.mask, np.float32)
    return {
        "version": TRACK_VERSION,
        "packages": computing_versions(),
        "video": known_digest(video, cache),
        "face": [selection.kind, selection.numbers, selection.relative, *in_frame],
        "mask": None if mask is None else [mask.shape, hashlib.sha256(mask.data).hexdigest()],
        "tracking": asdict(tracking),
        **parts,
    }


def run_track_key(inputs: Inputs, device: torch.device, settings: Settings) -> dict[str, Any]:
    """`track_key` for a run of the command line with a cache, on a kind of device."""
    selection, cache = parse_face(settings.face), settings.cache
    parts = {"missing": settings.missing, "device": device.type}
    return track_key(inputs.video.path, cache, selection, TrackingSettings(), **parts)


def cached_track(
    cache: DiskCache, key: dict[str, Any], needed: Fraction | None, compute: Callable[[], TrackedSource]
) -> TrackedSource:
    """The track under `key` of a video's first `needed` seconds, or all of it; from the cache, else from `compute()`.

    A track of the whole video also serves whoever needs more seconds than there are.
    """
    found = cache.get(TRACKS, entry_name(cache, key, needed), partial(read_long_enough, needed=needed))
    if found is not None:
        tracked, warnings = found
        repeat(warnings)
        return tracked
    with noting_warnings() as warnings:
        tracked = compute()
    name = track_name(key, None if tracked.complete else needed)
    cache.put(TRACKS, name, lambda path: write_track(path, tracked, warnings))
    return tracked


def holds_track(cache: DiskCache, key: dict[str, Any], needed: Fraction | None) -> bool:
    """Whether `cached_track` will find a track; counts nothing and warns of nothing."""
    path = cache.path(TRACKS, entry_name(cache, key, needed))
    try:
        return path.is_file() and read_long_enough(path, needed) is not None
    except ValueError:
        return False


def entry_name(cache: DiskCache, key: dict[str, Any], needed: Fraction | None) -> str:
    """The entry in which to look for a video's first `needed` seconds: their own, else that of the whole video."""
    part = track_name(key, needed)
    return part if cache.holds(TRACKS, part) else track_name(key, None)


def track_name(key: dict[str, Any], needed: Fraction | None) -> str:
    """The name of the entry of a video's first `needed` seconds; None = of all of it."""
    return content_key(**key, needed=None if needed is None else str(needed))


def read_long_enough(path: Path, needed: Fraction | None) -> tuple[TrackedSource, list[str]] | None:
    """`read_track`; None where the track is of a whole video that lasts longer than `needed` seconds."""
    tracked, warnings = read_track(path)
    longer = needed is not None and tracked.complete and tracked.times[-1] >= needed
    return None if longer else (tracked, warnings)


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
