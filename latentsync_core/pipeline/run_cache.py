"""What a run need not do again: the face track and the faces' moments, kept by content in the cache on disk.

Guidance, seed and solver are in no key, so a run that differs in these alone only denoises and writes. Of a face the
posterior's mean and deviation are kept, not latents: their noise is the seed's, and is drawn anew in every run in the
reference's order, so that the result has the same bytes with the cache, without it and under another seed.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..disk_cache import DiskCache, content_key
from ..faces import LATENT_STRIDE, FaceTrack
from ..faces.tracking.search import TrackingSettings
from ..faces.tracking.selection import FaceSelection
from ..models.vae import LatentCodec, Moments
from .digests import known_digest, weights_digest
from .encode import Alignment, FaceMoments
from .entry_file import read_entry, write_entry
from .plan import TrackedSource
from .run_log import RunLog
from .versions import plain, versions

log = logging.getLogger(__name__)

TRACKS, MOMENTS = "face tracks", "face latents"  # kinds of entries, and their folders' names
TRACK_VERSION = 1  # raise it when tracking gives other numbers
MOMENTS_VERSION = 1  # raise it when cropping or encoding gives other numbers
MOST_SHARE = 0.5  # of the cache's limit that one clip's faces may take, or each run of a film would push out its own
LATENT_FLOATS = 16  # per latent pixel: mean and deviation, 4 channels, of the masked and of the whole face
PACKAGES = ("torch", "numpy", "av")  # whose versions change results in the last digits


def track_key(
    video: Path, cache: DiskCache, selection: FaceSelection, tracking: TrackingSettings, **parts: Any
) -> dict[str, Any]:
    """Everything a track depends on, but how far the video is read; parts: what else, of what JSON knows."""
    mask = None if selection.mask is None else np.ascontiguousarray(selection.mask, np.float32)
    return {
        "version": TRACK_VERSION,
        "packages": package_versions(),
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


class CachedMoments:
    """The moments of a clip's faces, batch by batch, from the cache where it has them.

    A batch's key holds the video, its frames and their alignment, the VAE, its precision and the kind of device.
    """

    def __init__(self, cache: DiskCache, video: Path, alignment: Alignment, codec: LatentCodec, device: torch.device):
        self._cache, self._alignment = cache, alignment
        self._vae = codec.autoencoder
        self._clip = {
            "version": MOMENTS_VERSION,
            "packages": package_versions(),
            "video": known_digest(video, cache),
            "resolution": alignment.resolution,
            "antialias": alignment.antialias,
            "at once": codec.slice_frames,  # a batch's size may change a convolution's last digits
            "device": device.type,
            "VAE": weights_digest(self._vae),
        }

    def of(self, batch: Sequence[int], compute: Callable[[], FaceMoments]) -> FaceMoments:
        """The moments of source frames `batch`; leaves the VAE in the precision in which computing them left it."""
        key = self._key(batch)
        moments = self._cache.get(MOMENTS, key, self._read)
        if moments is None:
            with noting_warnings() as warnings:
                moments = compute()
            about = {"left in float32": self._vae.dtype == torch.float32, "warnings": warnings}
            self._cache.put(MOMENTS, key, lambda path: write_entry(path, moments_to_tensors(moments), about))
        return moments

    def _key(self, batch: Sequence[int]) -> str:
        matrices = np.ascontiguousarray(self._alignment.matrices[list(batch)])
        return content_key(
            **self._clip,
            frames=list(batch),
            alignment=hashlib.sha256(matrices.data).hexdigest(),
            precision=str(self._vae.dtype),
        )

    def _read(self, path: Path) -> FaceMoments:
        tensors, about = read_entry(path)
        if about["left in float32"] and self._vae.dtype != torch.float32:
            self._vae.float()
        repeat(about["warnings"])
        return moments_from_tensors(tensors)


def cached_moments(
    cache: DiskCache | None, video: Path, alignment: Alignment, codec: LatentCodec, device: torch.device
) -> CachedMoments | None:
    """The moments of a clip's faces in `cache`; None without one, for a foreign VAE, and where they would fill it."""
    if cache is None or getattr(codec, "autoencoder", None) is None:
        return None
    faces = int(np.isfinite(alignment.matrices[:, 0, 0]).sum())
    size = faces * LATENT_FLOATS * (alignment.resolution // LATENT_STRIDE) ** 2 * 4  # bytes of float32
    if size > MOST_SHARE * cache.limit:
        log.info("The faces' latents (%.1f GB) are not cached: the limit is %.1f GB.", size / 1e9, cache.limit / 1e9)
        return None
    return CachedMoments(cache, video, alignment, codec, device)


def moments_to_tensors(moments: FaceMoments) -> dict[str, torch.Tensor]:
    """Four tensors (f, 4, h, w) by name."""
    masked, whole = moments.masked, moments.whole
    return {"masked.mean": masked.mean, "masked.std": masked.std, "whole.mean": whole.mean, "whole.std": whole.std}


def moments_from_tensors(tensors: dict[str, torch.Tensor]) -> FaceMoments:
    """The inverse of `moments_to_tensors`."""
    masked, whole = (Moments(tensors[f"{kind}.mean"], tensors[f"{kind}.std"]) for kind in ("masked", "whole"))
    return FaceMoments(masked, whole)


@contextmanager
def noting_warnings() -> Iterator[list[str]]:
    """A list of what the library warns of meanwhile; kept with a result, so that whoever is given that is told too."""
    noted = RunLog()
    with noted.collecting_warnings():
        yield noted.warnings


def repeat(warnings: Sequence[str]) -> None:
    """Log once more what was warned of when a cached result was made."""
    for warning in warnings:
        log.warning("%s", warning)


def package_versions() -> dict[str, str]:
    """The versions that are part of every key."""
    found = versions()
    return {name: found[name] for name in PACKAGES}


def cache_use(cache: DiskCache | None) -> dict[str, Any]:
    """For the report: the folder, and how many results of each kind came from it, and how many were computed."""
    if cache is None:
        return {}
    return {"folder": str(cache.folder), "found": dict(cache.found), "computed": dict(cache.computed)}
