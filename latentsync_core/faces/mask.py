"""The fixed mask of the aligned crop: which pixels are regenerated and which are kept."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from ..options import check_resolution
from .resample import lanczos4_resize

LATENT_STRIDE = 8  # pixels per latent cell
WHITE = 255

__all__ = ["composite_crop", "fixed_mask", "latent_mask"]


def fixed_mask(resolution: int) -> torch.Tensor:
    """The mask at a working resolution, a positive multiple of 64: (resolution, resolution) float32 in [0, 1].

    1 = kept, 0 = regenerated (the lower face without the bridge of the nose). Binary at 256; elsewhere the Lanczos4
    resize of the 8-bit mask leaves fractions along its edge, with which the published weights were trained.
    Source: REFERENCE, latents and mask.
    """
    check_resolution(resolution)
    levels = lanczos4_resize(_published_mask()[:, :, None], resolution, resolution)[:, :, 0]
    return torch.from_numpy(levels.astype(np.float32) / WHITE)


def latent_mask(mask: torch.Tensor) -> torch.Tensor:
    """The mask at latent size, nearest: (..., h, w) -> (..., h / 8, w / 8)."""
    height, width = mask.shape[-2:]
    planes = mask.reshape(1, -1, height, width)  # (1, all leading axes, h, w)
    small = F.interpolate(planes, size=(height // LATENT_STRIDE, width // LATENT_STRIDE), mode="nearest")
    return small.reshape(*mask.shape[:-2], *small.shape[-2:])


def composite_crop(generated: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Keep the reference crop where the mask is 1 and take the generated one where it is 0.

    generated, reference: (f, 3, h, w) in [-1, 1]; mask: (h, w). Computed where and as ``generated`` is.
    """
    kept = mask.to(generated)
    return generated * (1 - kept) + reference.to(generated) * kept


@lru_cache(maxsize=1)
def _published_mask() -> np.ndarray:
    """uint8 (256, 256), 255 = kept; the shape the published weights were trained with."""
    shape = json.loads(Path(__file__).with_name("fixed_mask.json").read_text(encoding="utf-8"))
    mask = np.full((shape["size"], shape["size"]), WHITE, np.uint8)
    for first_row, last_row, first_column, last_column in shape["regenerated"]:
        mask[first_row : last_row + 1, first_column : last_column + 1] = 0
    return mask
