"""One face of a clip, measured frame by frame: a few numbers each, so that a clip may be of any length."""

from dataclasses import dataclass, field

import numpy as np

from .mouth import MEASURED_POINTS, MouthShape, mouth_jitter, mouth_shape
from .picture import PictureStatistics


@dataclass
class MeasuredFace:
    """What is kept of every frame added, in order: its time, some points of its mesh, its picture's numbers."""

    picture: PictureStatistics = field(default_factory=PictureStatistics)
    _times: list[float] = field(default_factory=list)
    _points: list[np.ndarray] = field(default_factory=list)

    def add(self, seconds: float, crop: np.ndarray | None, mesh: np.ndarray | None = None) -> None:
        """The next frame: its time, its aligned face (CROP, CROP, 3) uint8, None where it shows none, and its mesh.

        mesh: (468, 3) in any upright frame of reference whose x and y have one scale.
        """
        self.picture.add(crop)
        self._times.append(seconds)
        unknown = np.full((len(MEASURED_POINTS), 3), np.nan, np.float32)
        self._points.append(unknown if mesh is None or crop is None else mesh[list(MEASURED_POINTS)])

    def new_shot(self) -> None:
        """What comes next is not compared with what came before."""
        self.picture.new_shot()

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
