"""From a frame and an approximate region to the 468 mesh points of the face there, in frame pixels.

Pixel coordinates in this folder: (0, 0) is the middle of the upper left pixel, x to the right, y down.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .networks.facemesh import FaceMesh
from .networks.nets import FaceNets
from .pictures import Picture, part_of, picture_tensor, shrink_picture, single_thread

LEFT_BROW = (71, 63, 105, 66, 107)  # mesh indices (REFERENCE section 1); left in the picture
RIGHT_BROW = (336, 296, 334, 293, 301)
NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 33, 263  # outer corners: the line between them is the face's horizontal
ROI_SCALE = 1.5  # side of the mesh's crop over the longer side of the face's box


ALIGNED_BOX = np.array([0.15, 0.1, 0.85, 0.9])  # where the face is in an aligned crop: x0, y0, x1, y1 of its sides
ALIGNED_PRESENCE = 0.5  # probability from which an aligned crop shows a face
LEVEL_EYES = (np.array([0.0, 0.0]), np.array([1.0, 0.0]))  # aligned: the eyes are level


@dataclass(frozen=True)
class Roi:
    """A rotated square: centre and side in pixels, angle in radians (clockwise in the picture)."""

    x: float
    y: float
    size: float
    angle: float

    @property
    def axes(self) -> np.ndarray:
        """(2, 2) float64: the square's own x and y axis as rows, unit length."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cos, sin], [-sin, cos]])


def roi_from_box(box: np.ndarray, left_eye: np.ndarray, right_eye: np.ndarray) -> Roi:
    """The square in which the mesh network expects a face: `box` (x0, y0, x1, y1) widened, upright by its eyes."""
    x0, y0, x1, y1 = (float(v) for v in box)
    angle = math.atan2(float(right_eye[1] - left_eye[1]), float(right_eye[0] - left_eye[0]))
    return Roi((x0 + x1) / 2, (y0 + y1) / 2, ROI_SCALE * max(x1 - x0, y1 - y0), angle)


def roi_from_mesh(mesh: np.ndarray) -> Roi:
    """The region of the next frame in which to fit the face whose (468, 3) points are known in this one."""
    return roi_from_box(mesh_box(mesh), mesh[LEFT_EYE_CORNER], mesh[RIGHT_EYE_CORNER])


def mesh_box(mesh: np.ndarray) -> np.ndarray:
    """(..., 468, 3) -> (..., 4): the upright box x0, y0, x1, y1 around the points."""
    return np.concatenate([mesh[..., :2].min(-2), mesh[..., :2].max(-2)], -1)


def alignment_points(mesh: np.ndarray) -> np.ndarray:
    """(..., 468, 3) -> (..., 3, 2): centres of left brow, right brow and nose, not rounded (REFERENCE section 1)."""
    parts = [mesh[..., list(indices), :2].mean(-2) for indices in (LEFT_BROW, RIGHT_BROW, NOSE)]
    return np.stack(parts, -2)


class MeshFitter:
    """Fits the face mesh inside a region of a frame."""

    def __init__(self, device: torch.device | str = "cpu", nets: FaceNets | None = None):
        nets = nets or FaceNets(device)
        self.device, self.network = nets.place(), nets.mesh

    @single_thread()
    @torch.inference_mode()
    def fit(self, frame: Picture, roi: Roi) -> tuple[np.ndarray, float]:
        """Mesh points (468, 3) float32 in frame pixels and the probability that `roi` holds a face.

        frame: (H, W, 3) uint8 RGB, or native.
        """
        crop = crop_roi(frame, roi, FaceMesh.INPUT_SIZE).unsqueeze(0).to(self.device)
        points, logit = self.network(crop.contiguous(memory_format=torch.channels_last))
        mesh = points_in_frame(points[0].cpu().double().numpy(), roi)
        return mesh.astype(np.float32), float(torch.sigmoid(logit))

    def fit_aligned(self, crop: np.ndarray) -> np.ndarray | None:
        """The mesh (468, 3) of an aligned face crop (h, w, 3) uint8 in its pixels, None where it shows no face.

        Fitted twice, the second time in the region found by the first.
        """
        height, width = crop.shape[:2]
        box = ALIGNED_BOX * [width, height, width, height]
        mesh, _ = self.fit(crop, roi_from_box(box, *LEVEL_EYES))
        mesh, presence = self.fit(crop, roi_from_mesh(mesh))
        return mesh if presence >= ALIGNED_PRESENCE else None


def points_in_frame(points: np.ndarray, roi: Roi) -> np.ndarray:
    """(468, 3) in pixels of the network's crop -> the same in pixels of the frame; z keeps its own origin."""
    scale = roi.size / FaceMesh.INPUT_SIZE
    mesh = points * scale
    mesh[:, :2] = (mesh[:, :2] - roi.size / 2) @ roi.axes + (roi.x, roi.y)
    return mesh


def crop_roi(frame: Picture, roi: Roi, size: int) -> torch.Tensor:
    """Crop a rotated square from a frame, bilinearly and without aliasing where it shrinks.

    frame (H, W, 3) uint8 -> (3, size, size) float32 in [0, 1]; the frame's border pixels continue outside.
    """
    half = roi.axes * roi.size / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ half + (roi.x, roi.y)
    patch, origin, extent = shrunk_patch(frame, corners, roi.size / size)
    # grid_sample's coordinates run from -1 to 1 across the square and across the patch
    centre = 2 * (np.array([roi.x, roi.y]) + 0.5 - origin) / extent - 1
    grid = square_grid(2 * half.T / extent[:, None], centre, size)
    crop = F.grid_sample(patch[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    return crop[0] / 255


def square_grid(axes: np.ndarray, centre: np.ndarray, size: int) -> torch.Tensor:
    """Where the pixels of a square of `size` pixels lie: (size, size, 2) float32, x first.

    axes: (2, 2), its half sides as columns; centre (2,). Three times as fast as torch's affine_grid.
    """
    places = (2 * np.arange(size) + 1) / size - 1
    grid = np.empty((size, size, 2), np.float32)
    for axis in range(2):
        across, down = axes[axis, 0] * places, axes[axis, 1] * places + centre[axis]
        np.add.outer(down.astype(np.float32), across.astype(np.float32), out=grid[:, :, axis])
    return torch.from_numpy(grid)


def shrunk_patch(frame: Picture, corners: np.ndarray, shrink: float) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """The upright part of a frame that holds `corners` (4, 2), made smaller by `shrink` where that is above 1.

    Returns (3, h, w) float32 in 0..255, the frame position (x, y) of its corner and its width and height in the frame.
    """
    size = np.array([frame.shape[1], frame.shape[0]])
    margin = int(2 * shrink) + 2  # so that the filters have pixels beyond the corners
    low = np.clip(np.floor(corners.min(0)) - margin, 0, size - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + margin, low + 1, size).astype(int)
    patch = picture_tensor(part_of(frame, (*low.tolist(), *high.tolist())))
    if shrink > 1:
        width, height = np.maximum(1, np.round((high - low) / shrink)).astype(int).tolist()
        patch = shrink_picture(patch, height, width)
    return patch.float().contiguous(), low, high - low
