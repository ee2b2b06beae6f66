"""The resampling filters the face crop is made and pasted with, as the reference's image libraries define them."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from einops import rearrange
from scipy.sparse import csr_array

LANCZOS_TAPS = 8  # Lanczos4: a window of four lobes to either side

__all__ = [
    "affine_coordinates",
    "invert_affine",
    "lanczos4_resize",
    "prefilter_scale",
    "resized_affine",
    "sample_bilinear",
    "similarity_scale",
    "image_from_planes",
    "planes_from_image",
]


@lru_cache(maxsize=32)
def lanczos4_weights(source: int, target: int) -> csr_array:
    """The sparse (target, source) float32 matrix that resizes one axis as OpenCV's INTER_LANCZOS4 does.

    Pixel centres at half-integers, eight taps whatever the scale (no antialias), taps normalised to sum to one,
    and taps beyond the border read the border pixel.
    """
    centre = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(centre).astype(int) - (LANCZOS_TAPS // 2 - 1)
    taps = first[:, None] + np.arange(LANCZOS_TAPS)  # (target, 8)
    distance = centre[:, None] - taps
    weight = np.sinc(distance) * np.sinc(distance / (LANCZOS_TAPS // 2))
    weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    row_starts = np.arange(target + 1) * LANCZOS_TAPS
    return csr_array((weight.ravel(), taps.clip(0, source - 1).ravel(), row_starts), shape=(target, source))


def lanczos4_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a uint8 image (h, w, c) to uint8 (height, width, c); equal to cv2.INTER_LANCZOS4 within one level."""
    source_height, source_width, _ = image.shape
    rows = lanczos4_weights(source_height, height) @ rearrange(image, "h w c -> h (w c)").astype(np.float32)
    columns = rearrange(torch.from_numpy(rows), "h (w c) -> w (h c)", w=source_width).numpy()
    resized = torch.from_numpy(lanczos4_weights(source_width, width) @ columns)
    levels = resized.round_().clamp_(0, 255).to(torch.uint8)
    return rearrange(levels, "w (h c) -> h w c", h=height).contiguous().numpy()


def planes_from_image(image: np.ndarray) -> torch.Tensor:
    """uint8 (h, w, c) -> its own uint8 (c, h, w); contiguous, since mixed layouts make every later step slow."""
    return rearrange(torch.from_numpy(image.copy()), "h w c -> c h w").contiguous()


def image_from_planes(planes: torch.Tensor) -> np.ndarray:
    """uint8 (c, h, w) -> uint8 (h, w, c); stacking single planes is three times faster than a permuted copy."""
    return torch.stack(tuple(planes), dim=-1).numpy()


def similarity_scale(matrix: np.ndarray) -> float:
    """How many output pixels one input pixel becomes under a (2, 3) similarity."""
    return float(np.sqrt(abs(np.linalg.det(np.asarray(matrix, np.float64)[:, :2]))))


def invert_affine(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) float64 inverse of a (2, 3) affine matrix; ValueError where there is none (a frame without a face)."""
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
        raise ValueError(
            f"expected a finite (2, 3) alignment matrix, got {matrix.tolist()}; skip frames without a face"
        )
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -linear @ matrix[:, 2:]], axis=1)


def affine_coordinates(
    matrix: np.ndarray, left: int, top: int, width: int, height: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The coordinates of a rectangle's pixels under an affine map: two (height, width) float32 tensors, x and y.

    A pixel's coordinates do not depend on the rectangle, to the last bit.

    Args:
        matrix: (2, 3).
        left, top, width, height: the rectangle, pixels.
    """
    matrix = torch.from_numpy(np.asarray(matrix, np.float64))
    columns = torch.arange(left, left + width, dtype=torch.float64)
    rows = torch.arange(top, top + height, dtype=torch.float64)
    along_columns = (matrix[:, 0, None] * columns).float()  # (2, width)
    along_rows = (matrix[:, 1, None] * rows + matrix[:, 2, None]).float()  # (2, height)
    x, y = along_rows[:, :, None] + along_columns[:, None, :]
    return x, y


def sample_bilinear(planes: torch.Tensor, x: torch.Tensor, y: torch.Tensor, padding: str) -> torch.Tensor:
    """Sample (c, h, w) float planes at pixel coordinates (H, W), whole numbers being pixel centres -> (c, H, W).

    ``padding`` "zeros" fades to zero over the pixel beyond the border, "border" repeats the border pixel.
    """
    height, width = planes.shape[-2:]
    grid = torch.stack([x * (2 / width) + (1 / width - 1), y * (2 / height) + (1 / height - 1)], dim=-1)  # (H, W, 2)
    return F.grid_sample(planes[None], grid[None], mode="bilinear", padding_mode=padding, align_corners=False)[0]


def prefilter_scale(scale: float) -> float:
    """By how much to shrink an image, with antialias, before a bilinear warp that scales it by ``scale``.

    Down to one half a bilinear warp still reads nearly every pixel: nothing is done, as in the reference. Below one
    quarter the shrink does the whole reduction. In between the share grows continuously, so that a face moving
    towards the camera does not change its sharpness from one frame to the next.
    """
    remaining = min(max(0.25 / scale, 0.5), 1.0)
    return min(scale / remaining, 1.0)


def resized_affine(source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """The (2, 3) matrix from pixels of a (height, width) image to pixels of the same image resized, edges on edges."""
    y_scale, x_scale = target[0] / source[0], target[1] / source[1]
    return np.array([[x_scale, 0, (x_scale - 1) / 2], [0, y_scale, (y_scale - 1) / 2]])
