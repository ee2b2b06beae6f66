"""The portrait of the synthetic clips, with its lips and eyelids: scikit-image's public-domain astronaut."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import LatentSyncError
from ...faces import track_faces
from ...faces.mouth_opening import LEFT_EYE_CORNER, RIGHT_EYE_CORNER

# Indices into the face mesh, from the picture's left to its right.
INNER_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
EYELIDS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
CURVE_DEGREE = 4
TABLE = 129  # samples of a curve from -1 to 1
OVERSAMPLING = 2  # of the portrait, so that bilinear sampling keeps it sharp


@dataclass(frozen=True, eq=False)
class Slit:
    """The opening between two curves, lips or eyelids, in a local coordinate system.

    centre (x, y) and half_width in portrait pixels; angle in radians; upper, lower: (TABLE,) v-coordinates of the edges
    over u / half_width in -1..1, zero at both ends. u runs along the corners' line, v down.
    """

    centre: tuple[float, float]
    half_width: float
    angle: float
    upper: Tensor
    lower: Tensor

    def local(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Portrait pixels -> (u, v)."""
        cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
        dx, dy = x - self.centre[0], y - self.centre[1]
        return cos * dx + sin * dy, cos * dy - sin * dx

    def portrait(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(u, v) -> portrait pixels."""
        cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
        return self.centre[0] + cos * u - sin * v, self.centre[1] + sin * u + cos * v


@dataclass(frozen=True, eq=False)
class Portrait:
    """pixels (3, OVERSAMPLING * h, OVERSAMPLING * w) float32 in [0, 1]; size (h, w); mesh (468, 3) in portrait pixels.

    mouth, eyes: their slits; eye_distance: between the outer corners, in portrait pixels.
    """

    pixels: Tensor
    size: tuple[int, int]
    mesh: np.ndarray
    mouth: Slit
    eyes: tuple[Slit, Slit]
    eye_distance: float


def load_portrait() -> Portrait:
    """The astronaut with her mesh. Raises LatentSyncError without scikit-image."""
    try:
        from skimage.data import astronaut
    except ImportError:
        raise LatentSyncError(
            "The portrait of the synthetic clips comes with scikit-image, which is not installed; "
            'pip install "latentsync-nodes[train]" or pip install scikit-image.'
        ) from None
    return portrait_from(astronaut())


def portrait_from(picture: np.ndarray) -> Portrait:
    """A frontal face with a slightly open mouth, (h, w, 3) uint8 RGB, prepared for animation."""
    mesh = track_faces([np.ascontiguousarray(picture)]).mesh[0]
    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1).float()[None] / 255  # (1, 3, h, w)
    larger = F.interpolate(pixels, scale_factor=OVERSAMPLING, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    eyes = tuple(_slit(mesh, upper, lower) for upper, lower in EYELIDS)
    distance = float(np.linalg.norm(mesh[RIGHT_EYE_CORNER, :2] - mesh[LEFT_EYE_CORNER, :2]))
    mouth = _slit(mesh, INNER_UPPER_LIP, INNER_LOWER_LIP)
    return Portrait(larger, picture.shape[:2], mesh, mouth, eyes, distance)


def _slit(mesh: np.ndarray, upper: tuple[int, ...], lower: tuple[int, ...]) -> Slit:
    """Smooth curves through mesh points that share their first and last one."""
    left, right = mesh[upper[0], :2].astype(float), mesh[upper[-1], :2].astype(float)
    centre, half = (left + right) / 2, (right - left) / 2
    half_width, angle = float(np.linalg.norm(half)), float(np.arctan2(half[1], half[0]))
    flat = Slit((float(centre[0]), float(centre[1])), half_width, angle, torch.zeros(TABLE), torch.zeros(TABLE))
    curves = []
    for indices in (upper, lower):
        points = torch.from_numpy(mesh[list(indices), :2].astype(np.float64))
        u, v = flat.local(points[:, 0], points[:, 1])
        s = (u / half_width).numpy()
        # (1 - s^2) times a polynomial: zero at the corners whatever the fit
        basis = np.stack([(1 - s**2) * s**power for power in range(CURVE_DEGREE - 1)], -1)
        weights = np.linalg.lstsq(basis, v.numpy(), rcond=None)[0]
        grid = np.linspace(-1, 1, TABLE)
        curve = sum(w * (1 - grid**2) * grid**power for power, w in enumerate(weights))
        curves.append(torch.from_numpy(curve).float())
    return replace(flat, upper=curves[0], lower=curves[1])
