"""One face of one frame: the part of the frame around it, its mesh and its plane."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ...faces.resample import planes_from_image
from .face_plane import on_plane
from .lip_edge import with_seen_edge
from .lips import Lips, measured_lips
from .reshape import Mouth, reshaped
from .warp import BELOW_CHIN, REACH

CHEEKS = (205, 425, 36, 266)  # mesh points beside nose and mouth
PATCH = 2  # pixels around each of them whose colours count
ROOM = 2  # pixels around all that can change
WIDE_OPEN = Mouth(opening=0.3, width=0.6)  # eye distances


@dataclass(frozen=True, eq=False)
class FilmedFace:
    """A face as it was filmed.

    pixels: (h, w, 3) uint8 RGB. mesh: (468, 3), x and y in pixels of these. plane: (2, 3), see face_plane.py, likewise.
    """

    pixels: np.ndarray
    mesh: np.ndarray
    plane: np.ndarray

    @classmethod
    def cut(
        cls, pixels: np.ndarray, box: tuple[int, int, int, int], mesh: np.ndarray, plane: np.ndarray
    ) -> "FilmedFace":
        """The face in a part of a frame. box: left, top, right, bottom of it. mesh, plane: in the frame's pixels."""
        corner = np.array(box[:2], np.float64)
        mesh, plane = mesh.astype(np.float64), plane.astype(np.float64)
        mesh[:, :2] -= corner
        plane[:, 2] -= corner
        return cls(pixels, mesh, plane)

    @cached_property
    def lips(self) -> Lips:
        """Its lips, by the mesh and by what the picture shows."""
        return with_seen_edge(measured_lips(on_plane(self.plane, self.mesh)), self.planes, self.plane)

    @cached_property
    def planes(self) -> Tensor:
        """Its pixels as (3, h, w) float32 in 0..255."""
        return planes_from_image(self.pixels).float()

    @cached_property
    def skin(self) -> Tensor:
        """The mean colour beside nose and mouth: (3,) float32 in 0..255."""
        height, width = self.pixels.shape[:2]
        columns, rows = np.round(self.mesh[list(CHEEKS), :2]).astype(int).T
        reach = np.arange(-PATCH, PATCH + 1)
        rows = np.clip(rows[:, None, None] + reach[:, None], 0, height - 1)
        columns = np.clip(columns[:, None, None] + reach, 0, width - 1)
        patches = self.pixels[rows, columns]  # (4, 5, 5, 3)
        return torch.from_numpy(patches.reshape(-1, 3).mean(0)).float()


def face_box(mesh: np.ndarray, plane: np.ndarray) -> tuple[int, int, int, int]:
    """The box that holds all that redrawing a face can read or change: left, top, right, bottom, whole pixels.

    mesh: (468, 3), plane: (2, 3), in pixels of the frame. It may reach beyond the frame.
    """
    filmed = measured_lips(on_plane(plane, mesh))
    corners = face_corners(filmed, reshaped(filmed, WIDE_OPEN))
    reached = np.concatenate([rectangle(plane, corners), mesh[list(CHEEKS), :2]])
    low, high = np.floor(reached.min(0)) - ROOM, np.ceil(reached.max(0)) + ROOM + 1
    return (*low.astype(int).tolist(), *high.astype(int).tolist())


def face_corners(filmed: Lips, wanted: Lips) -> np.ndarray:
    """Two opposite corners (2, 2) on the plane of what can move between two mouths."""
    centre = wanted.corners[:, 0].mean()
    chin = wanted.chin + max(wanted.opening - filmed.opening, 0)
    return np.array([[centre - REACH, wanted.nose], [centre + REACH, chin + BELOW_CHIN]])


def rectangle(plane: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The four corners (4, 2) in pixels of a rectangle on a plane, given by two opposite ones (2, 2)."""
    (left, top), (right, bottom) = corners
    return np.array([[u, v, 1] for u in (left, right) for v in (top, bottom)]) @ plane.T
