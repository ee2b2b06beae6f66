"""From a frame and a rough place to the 468 mesh points of the face there, in frame pixels.

Pixel coordinates in this folder: (0, 0) is the middle of the upper left pixel, x to the right, y down.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .facemesh import FaceMesh
from .pretrained import FACE_MESH, load_pretrained

LEFT_BROW = (71, 63, 105, 66, 107)  # mesh indices (REFERENCE section 1); left in the picture
RIGHT_BROW = (336, 296, 334, 293, 301)
NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 33, 263  # outer corners: the line between them is the face's horizontal
ROI_SCALE = 1.5  # side of the mesh's crop over the longer side of the face's box


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
    """Where to look in the next frame for the face whose (468, 3) points are known in this one."""
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

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        network = load_pretrained(FaceMesh(), FACE_MESH, self.device)
        self.network = network.to(memory_format=torch.channels_last)  # halves the time of these convolutions on a CPU

    @torch.inference_mode()
    def fit(self, frame: np.ndarray, roi: Roi) -> tuple[np.ndarray, float]:
        """Mesh points (468, 3) float32 in frame pixels and the probability that `roi` holds a face.

        frame: (H, W, 3) uint8 RGB.
        """
        crop = crop_roi(frame, roi, FaceMesh.INPUT_SIZE).unsqueeze(0).to(self.device)
        points, logit = self.network(crop.contiguous(memory_format=torch.channels_last))
        mesh = points_in_frame(points[0].double().cpu().numpy(), roi)
        return mesh.astype(np.float32), float(torch.sigmoid(logit))


def points_in_frame(points: np.ndarray, roi: Roi) -> np.ndarray:
    """(468, 3) in pixels of the network's crop -> the same in pixels of the frame; z keeps its own origin."""
    scale = roi.size / FaceMesh.INPUT_SIZE
    mesh = points * scale
    mesh[:, :2] = (mesh[:, :2] - roi.size / 2) @ roi.axes + (roi.x, roi.y)
    return mesh


def crop_roi(frame: np.ndarray, roi: Roi, size: int) -> torch.Tensor:
    """Cut a rotated square out of a frame, bilinearly, after averaging where it shrinks by 2 or more.

    frame (H, W, 3) uint8 -> (3, size, size) float32 in [0, 1]; the frame's border pixels continue outside.
    """
    steps = (np.arange(size) + 0.5) / size - 0.5  # pixel middles along a side of length 1
    x_axis, y_axis = roi.axes * roi.size
    grid = (
        steps[None, :, None] * x_axis + steps[:, None, None] * y_axis + (roi.x, roi.y)
    )  # (size, size, 2) frame pixels
    patch, origin, factor = averaged_patch(frame, grid[[0, 0, -1, -1], [0, -1, 0, -1]], int(roi.size / size))
    height, width = patch.shape[1:]
    grid = (grid + 0.5 - origin) / factor  # now from the patch's corner
    grid = torch.from_numpy((2 * grid / (width, height) - 1).astype(np.float32))
    return F.grid_sample(
        patch.unsqueeze(0), grid.unsqueeze(0), mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def averaged_patch(frame: np.ndarray, corners: np.ndarray, factor: int) -> tuple[torch.Tensor, np.ndarray, int]:
    """The upright part of a frame around `corners` (4, 2), every factor x factor pixels averaged into one.

    Returns (3, h, w) float32 in [0, 1], the frame position (x, y) of its corner, and the factor used.
    """
    height, width = frame.shape[:2]
    factor = max(1, min(factor, height, width))
    size = np.array([width, height])
    low = np.clip(np.floor(corners.min(0)) - factor, 0, size - factor).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1 + factor, low + factor, size).astype(int)
    high = low + (high - low) // factor * factor
    patch = torch.from_numpy(np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])).permute(2, 0, 1)
    patch = patch.float().div_(255)
    return (F.avg_pool2d(patch, factor) if factor > 1 else patch), low, factor
