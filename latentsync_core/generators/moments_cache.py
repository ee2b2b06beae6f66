"""The faces' moments, kept by content in the cache on disk for other runs.

Guidance, seed and solver are in no key, so a run that differs in these alone only denoises and writes. Of a face the
posterior's mean and deviation are kept, not latents: their noise is the seed's, and is drawn anew in every run in the
reference's order, so that the result has the same bytes with the cache, without it and under another seed.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ..digests import known_digest, weights_digest
from ..disk_cache import DiskCache, content_key
from ..entry_file import read_entry, write_entry
from ..faces import LATENT_STRIDE
from ..models.vae import LatentCodec, Moments
from ..run_log import noting_warnings, repeat
from ..versions import computing_versions
from .clip import Clip
from .face_crops import FaceCrops
from .face_latents import FaceMoments, batches_by_window

log = logging.getLogger(__name__)

MOMENTS = "face latents"  # kind of entries, and their folder's name
MOMENTS_VERSION = 2  # raise it when cropping or encoding gives other numbers
MOST_SHARE = 0.5  # of the cache's limit that one clip's faces may take, or each run of a film would push out its own
LATENT_FLOATS = 16  # per latent pixel: mean and deviation, 4 channels, of the masked and of the whole face


class CachedMoments:
    """The moments of a clip's faces, batch by batch, from the cache where it has them.

    A batch's key holds the video, its frames and their crops, what is hidden of them, the VAE, its precision and the
    kind of device. hidden: a word for the last but these.
    """

    def __init__(
        self, cache: DiskCache, video: Path, crops: FaceCrops, codec: LatentCodec, device: torch.device, hidden: str
    ):
        self._cache, self._crops = cache, crops
        self._vae = codec.autoencoder
        self._clip = {
            "version": MOMENTS_VERSION,
            "packages": computing_versions(),
            "video": known_digest(video, cache),
            "hidden": hidden,
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

    def holds(self, batch: Sequence[int]) -> bool:
        """Whether those of source frames `batch` are there."""
        return self._cache.holds(MOMENTS, self._key(batch))

    def _key(self, batch: Sequence[int]) -> str:
        frames, precision = list(batch), str(self._vae.dtype)
        return content_key(**self._clip, frames=frames, crops=self._crops.digest(frames), precision=precision)

    def _read(self, path: Path) -> FaceMoments:
        tensors, about = read_entry(path)
        if about["left in float32"] and self._vae.dtype != torch.float32:
            self._vae.float()
        repeat(about["warnings"])
        return moments_from_tensors(tensors)


def cached_moments(
    clip: Clip, codec: LatentCodec, device: torch.device, *, resolution: int, hidden: str
) -> CachedMoments | None:
    """The moments of a clip's faces, `resolution` pixels square, in the run's cache.

    None without a cache, for a foreign VAE, and where they would fill it.
    """
    cache = clip.settings.cache
    if cache is None or getattr(codec, "autoencoder", None) is None:
        return None
    size = len(clip.shown) * LATENT_FLOATS * (resolution // LATENT_STRIDE) ** 2 * 4  # bytes of float32
    if size > MOST_SHARE * cache.limit:
        log.info("The faces' latents (%.1f GB) are not cached: the limit is %.1f GB.", size / 1e9, cache.limit / 1e9)
        return None
    return CachedMoments(cache, clip.video, clip.crops, codec, device, hidden)


def found_faces(moments: CachedMoments | None, clip: Clip) -> set[int]:
    """The source frames of a clip whose moments are in the cache; none without one."""
    if moments is None:
        return set()
    windows = [span for segment in clip.segments for span in segment.windows]
    return {frame for batch in batches_by_window(windows, clip.source) if moments.holds(batch) for frame in batch}


def moments_to_tensors(moments: FaceMoments) -> dict[str, torch.Tensor]:
    """Four tensors (f, 4, h, w) by name."""
    masked, whole = moments.masked, moments.whole
    return {"masked.mean": masked.mean, "masked.std": masked.std, "whole.mean": whole.mean, "whole.std": whole.std}


def moments_from_tensors(tensors: dict[str, torch.Tensor]) -> FaceMoments:
    """The inverse of `moments_to_tensors`."""
    masked, whole = (Moments(tensors[f"{kind}.mean"], tensors[f"{kind}.std"]) for kind in ("masked", "whole"))
    return FaceMoments(masked, whole)
