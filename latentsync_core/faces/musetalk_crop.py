"""MuseTalk's crop: an upright box around the face, stretched to a square, of which the lower half is redrawn.

Source: REFERENCE section 2. The points of its 68-point contour are those of our mesh that lie in the same places.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image, ImageDraw

from ..errors import LatentSyncError
from ..options import ALIGNMENTS
from .align import smooth_points
from .box import Box
from .face_track import FaceTrack
from .landmarks import LEFT_BROW, NOSE, RIGHT_BROW
from .resample import image_from_planes, lanczos4_resize, planes_from_image, prefilter_scale
from .seam import BELOW_NOSE, LOWER_FACE, SUPERSAMPLING
from .soft_edge import blur

CROP_SIDE = 256  # pixels, of the square that the published networks see
BRIDGE = 195  # mesh index of the contour's point 29, low on the bridge of the nose: the middle row of the crop
CONTOUR = (*LOWER_FACE, *LEFT_BROW, *RIGHT_BROW, *NOSE)  # whose extremes are the box: ear to ear, brows, nose
CHIN_MARGIN = {"1.0": 0, "1.5": 10}  # pixels of the frame below the chin, by release
SURROUNDINGS = 1.5  # side of the square around the box over the box's longer side
JAW_GROWTH = 16 / 512  # of that square's side: how far the face may grow below the filmed one
BLUR_SHARE = 0.05  # of that square's side: width of the soft edge
BORDER_SHARE = 0.01  # of that square's side: over which the face fades at the border of its box
BLACK = -1.0  # of pixels in [-1, 1]

__all__ = [
    "CROP_SIDE",
    "jaw_contours",
    "jaw_share",
    "mask_lower_half",
    "musetalk_boxes",
    "square_crop",
    "track_boxes",
    "upper_half",
]


def track_boxes(track: FaceTrack, release: str = "1.5", bbox_shift: int = 0, mode: str = "smooth") -> np.ndarray:
    """`musetalk_boxes` of every frame of a tracked clip: (N, 4) int64, zeros where there is no face.

    "smooth" takes the box of points that were smoothed over time without lag, within each run of frames; "reference"
    that of each frame's own points, cut to whole pixels, as its scripts do.
    """
    if mode not in ALIGNMENTS:
        raise ValueError(f"expected the mode {' or '.join(ALIGNMENTS)}, got {mode!r}")
    mesh = track.mesh[..., :2].astype(np.float64)
    if mode == "reference":
        mesh = np.trunc(mesh)
    else:
        mesh = smooth_points(mesh, track.present, _starts(track))
    boxes = np.zeros((len(track), 4), np.int64)
    boxes[track.present] = musetalk_boxes(mesh[track.present], track.height, release, bbox_shift)
    return boxes


def musetalk_boxes(mesh: np.ndarray, height: int, release: str = "1.5", bbox_shift: int = 0) -> np.ndarray:
    """The box of each face: (n, 4) int64, left, top, right, bottom in pixels; right and bottom are exclusive.

    Args:
        mesh: (n, 468, 2 or 3) points in pixels.
        height: of the frame, pixels.
        release: "1.0" or "1.5", which goes 10 pixels below the chin.
        bbox_shift: pixels by which the middle row lies below the bridge of the nose; above 0 the mouth opens more.
    The bridge of the nose is half way down to the chin, and nothing reaches above or below the frame. Raises
    LatentSyncError where the shift puts the middle row below the chin. Source: REFERENCE section 2, "Box".
    """
    x, y = mesh[:, CONTOUR, 0], mesh[:, CONTOUR, 1]
    chin, middle = y.max(1), mesh[:, BRIDGE, 1] + bbox_shift
    if (middle >= chin).any():
        room = int((chin - mesh[:, BRIDGE, 1]).min())
        raise LatentSyncError(
            f"bbox_shift {bbox_shift} puts the middle of the crop below the chin, which is {room} pixels below the "
            f"bridge of the nose here; -9 to 9 is usual."
        )
    top = np.maximum(2 * middle - chin, 0)
    bottom = np.maximum(np.minimum(chin + CHIN_MARGIN[release], height), top + 1)  # for a face below the frame
    edges = np.stack([x.min(1), top, x.max(1), bottom], axis=1)
    return np.rint(edges).astype(np.int64)


def square_crop(crop: np.ndarray, side: int = CROP_SIDE, antialias: bool = True) -> np.ndarray:
    """A crop stretched to the network's square by Lanczos4: uint8 (h, w, 3) -> uint8 (side, side, 3).

    antialias: prefilter faces so large that the filter would skip pixels; its scripts do not.
    """
    height, width = crop.shape[:2]
    scales = [prefilter_scale(side / length) if antialias else 1.0 for length in (height, width)]
    if min(scales) < 1:
        size = tuple(round(length * scale) for length, scale in zip((height, width), scales, strict=True))
        planes = F.interpolate(planes_from_image(crop)[None], size=size, mode="bilinear", antialias=True)
        crop = image_from_planes(planes[0])
    return lanczos4_resize(crop, side, side)


def mask_lower_half(pixels: torch.Tensor) -> torch.Tensor:
    """Pictures (..., 3, h, w) in [-1, 1] with the rows from h // 2 on black, which is -1 there, not 0."""
    masked = pixels.clone()
    masked[..., pixels.shape[-2] // 2 :, :] = BLACK
    return masked


def upper_half(side: int) -> torch.Tensor:
    """(side, side) float32: 1 where the network is shown the face, 0 where it draws it."""
    kept = torch.zeros(side, side)
    kept[: side // 2] = 1
    return kept


def jaw_contours(track: FaceTrack) -> np.ndarray:
    """The skin below the nose in every frame, smoothed over time as the boxes are: (N, K, 2) pixels, NaN without."""
    points = track.mesh[:, LOWER_FACE + BELOW_NOSE, :2].astype(np.float64)
    return smooth_points(points, track.present, _starts(track))


def jaw_share(contour: np.ndarray, box: Box, fade: bool = True) -> torch.Tensor:
    """A generated face's share in its box: (bottom - top, right - left) float32, 1 in the lower face, soft at its edge.

    contour: (K, 2) of `jaw_contours`, pixels of the frame. As MuseTalk 1.5 ("jaw") the face may grow downwards, and
    only the lower half of the square around the box counts; the mesh takes the place of its face parser.
    fade: to 0 at the border of the box, where its scripts leave an edge. Source: REFERENCE section 2, "Paste".
    """
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    half = int(max(width, height) // 2 * SURROUNDINGS)  # of the side of the square around the box
    reach = int(BLUR_SHARE * 2 * half // 2)  # pixels to either side that the blur sees
    skin = _filled(_swept_down(contour - (left, top), JAW_GROWTH * 2 * half), height, width)
    skin[: (top + bottom) // 2 - top] = 0
    surrounded = torch.from_numpy(np.pad(skin, reach))
    sigma = 0.3 * (reach - 1) + 0.8  # pixels, OpenCV's choice for 2 * reach + 1
    softened = blur(surrounded, reach, sigma)[reach : reach + height, reach : reach + width] if reach else surrounded
    return softened * _border_fade(height, width, max(round(BORDER_SHARE * 2 * half), 1)) if fade else softened


def _border_fade(height: int, width: int, reach: int) -> torch.Tensor:
    """(height, width) in 0..1: 0 on the border of a picture, rising to 1 over `reach` pixels."""
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in (height, width))
    down, across = (torch.minimum(place, len(place) - 1 - place) / reach for place in (rows, columns))
    return torch.minimum(down[:, None], across[None]).clamp_(max=1)


def _swept_down(contour: np.ndarray, rows: float) -> list[np.ndarray]:
    """Polygons that cover together what a contour (K, 2) covers on its way `rows` pixels down."""
    lower = contour + (0, rows)
    sides = np.stack([contour, np.roll(contour, -1, 0), np.roll(lower, -1, 0), lower], axis=1)  # (K, 4, 2)
    return [contour, lower, *sides]


def _filled(polygons: Iterable[np.ndarray], height: int, width: int) -> np.ndarray:
    """The inside of some polygons (K, 2) in a picture of that size: float32 (height, width) in 0..1."""
    canvas = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    pen = ImageDraw.Draw(canvas)
    for corners in polygons:
        pen.polygon([tuple(xy) for xy in ((corners + 0.5) * SUPERSAMPLING - 0.5).tolist()], fill=255)
    return np.array(canvas.reduce(SUPERSAMPLING), np.float32) / 255


def _starts(track: FaceTrack) -> Iterable[int]:
    """The frames with which runs and shots begin, over which nothing is smoothed."""
    return sorted({start for start, _ in track.runs()} | set(track.cuts))
