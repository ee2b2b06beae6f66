"""One face of a clip, measured frame by frame: a few numbers each, so that a clip may be of any length."""

from dataclasses import dataclass, field

import numpy as np

from ..faces.landmarks import MeshFitter, roi_from_box, roi_from_mesh
from .mouth import MEASURED_POINTS, MouthShape, mouth_jitter, mouth_shape
from .picture import CROP, PictureStatistics

FACE_BOX = np.array([0.15, 0.1, 0.85, 0.9]) * CROP  # where the face is in an aligned crop: x0, y0, x1, y1
LEFT, RIGHT = np.array([0.0, 0.0]), np.array([1.0, 0.0])  # aligned: the eyes are level
PRESENCE_THRESHOLD = 0.5  # probability that there is a face


@dataclass
class MeasuredFace:
    """What is kept of every frame added, in order: its time, some points of its mesh, its picture's numbers.

    fitter: fits the mesh where none is given.
    """

    fitter: MeshFitter | None = None
    picture: PictureStatistics = field(default_factory=PictureStatistics)
    _times: list[float] = field(default_factory=list)
    _points: list[np.ndarray] = field(default_factory=list)

    def add(self, seconds: float, crop: np.ndarray | None, mesh: np.ndarray | None = None) -> None:
        """The next frame: its time, its aligned face (CROP, CROP, 3) uint8, or None where it shows none.

        mesh: (468, 3) of the face in any frame of reference; fitted in the crop if not given.
        """
        if crop is not None and mesh is None:
            mesh = self._fitted(crop)
        self.picture.add(crop)
        self._times.append(seconds)
        unknown = np.full((len(MEASURED_POINTS), 3), np.nan, np.float32)
        self._points.append(unknown if mesh is None or crop is None else mesh[list(MEASURED_POINTS)])

    def new_shot(self) -> None:
        """What comes next is not compared with what came before."""
        self.picture.new_shot()

    def _fitted(self, crop: np.ndarray) -> np.ndarray | None:
        """The mesh of an aligned crop; fitted twice, the second time in the region found by the first."""
        mesh, _ = self.fitter.fit(crop, roi_from_box(FACE_BOX, LEFT, RIGHT))
        mesh, presence = self.fitter.fit(crop, roi_from_mesh(mesh))
        return mesh if presence >= PRESENCE_THRESHOLD else None

    def __len__(self) -> int:
        return len(self._times)

    @property
    def times(self) -> np.ndarray:
        """(N,) seconds at which each frame is shown."""
        return np.array(self._times)

    @property
    def mesh(self) -> np.ndarray:
        """(N, 468, 3) float32 with only MEASURED_POINTS known, NaN elsewhere and in frames without a face."""
        mesh = np.full((len(self), 468, 3), np.nan, np.float32)
        mesh[:, list(MEASURED_POINTS)] = np.stack(self._points)
        return mesh

    @property
    def shape(self) -> MouthShape:
        """The mouth's shape in every frame."""
        return mouth_shape(self.mesh)

    @property
    def jitter(self) -> float:
        """See `mouth_jitter`."""
        return mouth_jitter(self.mesh)
