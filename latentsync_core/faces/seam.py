"""Blending the generated mouth into the frame: the shape that is pasted, its soft edge, its colours, and its limits.

The class of these options keeps the name that callers use, `Seam`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image, ImageDraw, UnidentifiedImageError
from scipy.ndimage import distance_transform_edt

from ..errors import LatentSyncError
from ..options import DEFAULT_FEATHER, MASKS, Seam
from .align import crop_size, smooth_points
from .face_track import FaceTrack
from .mask import fixed_mask
from .resample import resized_affine
from .soft_edge import blur

LOWER_FACE = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
BELOW_NOSE = (425, 327, 2, 98, 205)  # points of the face mesh that close the contour from cheek to cheek
JAW_ROOM = 1.06  # factor by which the contour is widened: the generated mouth may open further than the filmed one
SUPERSAMPLING = 4  # pixels drawn per crop pixel and axis, for a contour that moves by less than a pixel
GRID = 32  # cells across the crop on which colours are compared
RING = 0.12  # of the crop's side: how far from the redrawn part colours are compared
COLOUR_SPREAD = 1 / 8  # of the crop's side: standard deviation over which a difference in colour extends
CUT_OFF = 0.5  # grey levels that a crop has lost on average, since levels are truncated, not rounded
MOST_SHIFT = (
    0.25  # of a range of 2: more than the colours of networks drift, so that a wholly different face is left as it is
)

KeptPart = Callable[[int], torch.Tensor]
"""``kept(resolution)``: (resolution, resolution), 1 where a generator keeps the face; a function of its module."""

log = logging.getLogger(__name__)

__all__ = ["KeptPart", "MouthMasks", "Seam", "match_color", "mouth_masks", "mouth_share", "read_limit"]


@dataclass(frozen=True, eq=False)
class MouthMasks:
    """Which part of a generated face is pasted in each frame of a clip.

    contours: (N, K, 2) lower faces by source frame in pixels, None for the fixed shape. limit: (1 or N, h, w) float32
    in 0..1 by source frame, None where the whole frame may change; `frame`, height and width of the video in pixels, is
    what it is scaled to where it has another size.
    """

    resolution: int
    seam: Seam
    contours: np.ndarray | None = None
    limit: np.ndarray | None = None
    frame: tuple[int, int] | None = None

    def share(self, index: int, matrix: np.ndarray) -> torch.Tensor:
        """The face's share in source frame `index`: (resolution, resolution) in 0..1, in the crop of `matrix`."""
        if self.contours is None:
            return mouth_share(self.resolution, self.seam.feather, self.seam.grow)
        redrawn = draw_contour(self.contours[index], matrix, self.resolution)
        return soften(redrawn, self.seam.feather, self.seam.grow)

    def limit_at(self, index: int, box: tuple[int, int, int, int]) -> np.ndarray | None:
        """The user's mask in the part left, top, right, bottom of source frame `index`."""
        if self.limit is None:
            return None
        left, top, right, bottom = box
        picture = self.limit[index if len(self.limit) > 1 else 0]
        if self.frame is not None and picture.shape != self.frame:
            picture = scaled(picture, self.frame)
        return picture[top:bottom, left:right]


def mouth_masks(track: FaceTrack, resolution: int, seam: Seam, limit: np.ndarray | None = None) -> MouthMasks:
    """The masks of a tracked clip; limit: as in MouthMasks, by default the picture that `seam` names, if any.

    A limit of another size but the video's shape is scaled, with a warning. Raises LatentSyncError for one of another
    shape, and for neither one picture nor one per frame.
    """
    frame = (track.height, track.width)
    if limit is None and seam.limit_file is not None:
        limit = read_limit(seam.limit_file, *frame)
    if limit is not None:
        limit = fitted_limit(limit, len(track), frame)
    contours = None
    if seam.mask == "mesh":
        points = track.mesh[:, LOWER_FACE + BELOW_NOSE, :2].astype(np.float64)
        starts = sorted({start for start, _ in track.runs()} | set(track.cuts))
        contours = smooth_points(points, track.present, starts)
    return MouthMasks(resolution, seam, contours, limit, frame)


def fitted_limit(limit: np.ndarray, frames: int, frame: tuple[int, int]) -> np.ndarray:
    """A limit (1 or N, h, w) for a video of `frames` frames: a single picture scaled to `frame`, many as they are."""
    count, (height, width) = len(limit), limit.shape[1:]
    if not has_shape((height, width), frame) or count not in (1, frames):
        raise LatentSyncError(
            f"The mask has {count} pictures of {width}x{height} pixels; the video has {frames} frames of "
            f"{frame[1]}x{frame[0]}: give one mask, or one per frame, of that size or shape."
        )
    if (height, width) != frame:
        log.warning("The mask has %dx%d pixels, the video %dx%d; it is scaled to that.", width, height, *frame[::-1])
    if not limit.any():
        log.warning("The mask is black throughout, so nothing changes; paint white where the video may change.")
    return limit if count > 1 or (height, width) == frame else scaled(limit[0], frame)[None]


def has_shape(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Whether a picture (height, width) has the proportions of a frame, but for half a pixel that it was rounded by."""
    return abs(size[1] * frame[0] - size[0] * frame[1]) <= max(frame) / 2


def scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32 in another size (height, width), bilinear: what is black there stays black."""
    planes = torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None]
    return F.interpolate(planes, size, mode="bilinear", align_corners=False, antialias=True)[0, 0].numpy()


def read_limit(path: Path, height: int, width: int) -> np.ndarray:
    """The user's grey picture as a limit (1, h, w) float32 in 0..1, for a video of `height` x `width` pixels.

    Raises LatentSyncError for what is no picture, and for one of another shape.
    """
    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"), np.float32) / 255
    except (OSError, UnidentifiedImageError) as error:
        raise LatentSyncError(
            f"{path}: this mask cannot be read as a picture ({type(error).__name__}); "
            f"give {', '.join(MASKS)} or a grey PNG of the video's size."
        ) from error
    if not has_shape(grey.shape, (height, width)):
        raise LatentSyncError(
            f"{path}: this mask has {grey.shape[1]}x{grey.shape[0]} pixels, the video {width}x{height}; "
            "make it as large, or of that shape."
        )
    return grey[None]


@lru_cache(maxsize=4)
def mouth_share(resolution: int, feather: float = DEFAULT_FEATHER, grow: float = 0.0) -> torch.Tensor:
    """A generated face's share in its crop: (resolution, resolution) float32, 1 inside the redrawn lower face.

    The fixed mask inverted and feathered, so that eyes and nose stay the frame's own pixels and no edge shows.
    feather, grow: percent of the crop's side, see Seam.
    """
    return soften(1 - fixed_mask(resolution), feather, grow)


def soften(redrawn: torch.Tensor, feather: float, grow: float) -> torch.Tensor:
    """Widen a (r, r) shape by `grow` and blur its edge by `feather`, percent of r; its area's edge stays in place."""
    resolution = len(redrawn)
    if grow:
        inside = redrawn.numpy() > 0.5
        edge = distance_transform_edt(inside) - distance_transform_edt(~inside)  # pixels, positive inside
        redrawn = torch.from_numpy(np.clip(edge + grow * resolution / 100 + 0.5 * np.sign(-edge), 0, 1)).float()
    sigma = feather * resolution / 100
    return blur(redrawn, max(round(3 * sigma), 1), sigma) if sigma > 0 else redrawn


def draw_contour(contour: np.ndarray, matrix: np.ndarray, resolution: int) -> torch.Tensor:
    """The inside of a lower face (K, 2), frame pixels, in the crop that `matrix` cuts: (resolution, resolution)."""
    width, height = crop_size(resolution)
    to_square = resized_affine((height, width), (resolution, resolution))
    middle = contour.mean(0)
    widened = middle + JAW_ROOM * (contour - middle)
    points = widened @ matrix[:, :2].T + matrix[:, 2]  # in the crop
    points = points @ to_square[:, :2].T + to_square[:, 2]
    canvas = Image.new("L", (resolution * SUPERSAMPLING,) * 2)
    ImageDraw.Draw(canvas).polygon([tuple(xy) for xy in ((points + 0.5) * SUPERSAMPLING - 0.5).tolist()], fill=255)
    return torch.from_numpy(np.array(canvas.reduce(SUPERSAMPLING), np.float32)) / 255


def match_color(
    generated: torch.Tensor, crop: np.ndarray, kept: KeptPart = fixed_mask, cut_off: float = CUT_OFF
) -> torch.Tensor:
    """A generated face with the source's colours around the part that was redrawn: (3, r, r) in [-1, 1].

    crop: the source face (r, r, 3) uint8. kept: gives, for r, where the generator was to keep it, (r, r), 1 = kept.
    cut_off: grey levels that the crop has lost on average.
    There both should show the same, so what they differ by in colour, beyond any detail, is what the VAE or the network
    added; extrapolated inwards it is subtracted from the mouth as well.
    """
    generated = generated.detach().to("cpu", torch.float32)
    resolution = generated.shape[-1]
    ring, held = ring_cells(resolution, kept)
    levels = torch.from_numpy(crop).permute(2, 0, 1).contiguous()  # (3, r, r); other strides slow down all that follows
    source = (levels.float() + cut_off) / 127.5 - 1
    compared = F.avg_pool2d(((source - generated) * ring)[None], resolution // GRID)[0]  # (3, GRID, GRID)
    shift = (spread_colour(compared) / held).clamp(-MOST_SHIFT, MOST_SHIFT)
    enlarge = enlarging(resolution)
    return generated + enlarge @ shift @ enlarge.T


@lru_cache(maxsize=4)
def ring_cells(resolution: int, kept: KeptPart = fixed_mask) -> tuple[torch.Tensor, torch.Tensor]:
    """Where colours are compared, (r, r) of 0 and 1, and how much of that is near each cell: (GRID, GRID).

    What cells differ by, spread and divided by the latter, so is a weighted mean over the ring: a difference that is
    the same all around comes out the same everywhere. kept: as of `match_color`.
    """
    redrawn = kept(resolution).numpy() < 1
    away = distance_transform_edt(~redrawn)
    ring = torch.from_numpy((away > 1) & (away <= RING * resolution)).float()
    return ring, spread_colour(F.avg_pool2d(ring[None, None], resolution // GRID)[0, 0])


def spread_colour(cells: torch.Tensor) -> torch.Tensor:
    """Sums over the cells (..., GRID, GRID), weighted by a Gaussian of their distance."""
    near = nearness()
    return near @ cells @ near


@lru_cache(maxsize=1)
def nearness() -> torch.Tensor:
    """The Gaussian between cells along one axis: (GRID, GRID) float32, symmetric."""
    place = torch.arange(GRID, dtype=torch.float64)
    return torch.exp(-0.5 * ((place[:, None] - place) / (COLOUR_SPREAD * GRID)) ** 2).float()


@lru_cache(maxsize=4)
def enlarging(resolution: int) -> torch.Tensor:
    """The matrix (resolution, GRID) that enlarges one axis bilinearly; four times as fast as torch's interpolation."""
    return F.interpolate(torch.eye(GRID)[None, None], size=(resolution, GRID), mode="bilinear")[0, 0]
