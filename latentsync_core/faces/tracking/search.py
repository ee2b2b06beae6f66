"""The interface between a tracker and its search for faces, and the settings of both."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...options import DEFAULT_MAX_GAP
from ..detect import DEFAULT_THRESHOLD, LEFT_EYE, RIGHT_EYE, Detections, FaceDetector, Region
from ..landmarks import MeshFitter, roi_from_box, roi_from_mesh
from ..networks.nets import FaceNets
from ..pictures import Picture
from .motion import box_middles, box_sizes
from .tracked_face import Sighting, TrackedFace

Seen = dict[TrackedFace, Sighting]
"""Who is where in one frame."""

DEFAULT_PRESENCE = 0.5  # MediaPipe's threshold for the mesh network's presence score
SURE_PRESENCE = 0.8  # required of a mesh where the detector finds no face
TILE_INTERVAL = 8  # frames between two searches for small faces while there is none


@dataclass(frozen=True)
class TrackingSettings:
    """Which faces are tracked.

    detection_threshold, presence_threshold: probabilities required of the detector and, to confirm it, of the mesh;
    lower ones also take drawn and half-hidden faces. minimum_size: longer side of the detector's box in pixels; region:
    only faces whose middle lies in x0, y0, x1, y1 (pixels); both restrict where tracks begin, not where they lead.
    max_gap: intervals of up to so many frames without the face are interpolated.
    """

    detection_threshold: float = DEFAULT_THRESHOLD
    presence_threshold: float = DEFAULT_PRESENCE
    minimum_size: float = 0.0
    region: Region | None = None
    max_gap: int = DEFAULT_MAX_GAP

    def allowed(self, faces: Detections) -> Detections:
        """The detections that fulfil size and region."""
        keep = box_sizes(faces.boxes) >= self.minimum_size
        if self.region is not None:
            middle = box_middles(faces.boxes)
            keep &= ((middle >= self.region[:2]) & (middle < self.region[2:])).all(1)
        return faces.keep(keep)


@dataclass(frozen=True)
class Moment:
    """A frame to be searched, its index, the number of its shot, and everybody known so far.

    maybe_cut: the picture changed so much that a new shot may begin here, although not surely.
    """

    frame: Picture
    index: int
    shot: int
    faces: Sequence[TrackedFace]
    maybe_cut: bool = False


class FaceSearch(ABC):
    """Decides for a tracker who is followed and when the detector runs, which costs more than following."""

    def __init__(self, nets: FaceNets, settings: TrackingSettings):
        self.detector = FaceDetector(nets=nets, threshold=settings.detection_threshold)
        self.fitter = MeshFitter(nets=nets)
        self.settings = settings
        self.best_detection = 0.0  # the detector's highest score so far

    @abstractmethod
    def begin_shot(self, index: int) -> None:
        """A new shot begins with frame `index`: earlier positions no longer count."""

    @abstractmethod
    def confirm(self, moment: Moment, face: TrackedFace, fitted: Sighting) -> Sighting | None:
        """Where `face` is, given what the mesh network `fitted` around its last place; None where it is lost."""

    @abstractmethod
    def after_cut(self, index: int, followed: Seen) -> Seen:
        """Which of the `followed` are kept after a cut that was recognised by their motion."""

    @abstractmethod
    def find(self, moment: Moment, followed: Seen) -> tuple[Seen, Seen]:
        """Those of the `followed` who are kept, and who is found besides, known already or new."""

    @abstractmethod
    def finish(self, moment: Moment, seen: Seen) -> None:
        """Update the search's state after everybody seen in a frame has been recorded."""

    def memory(self) -> Any:
        """The search's state in this shot, which `recall` restores after a flash."""
        return None

    def recall(self, memory: Any) -> None:  # noqa: B027 - a search without state has nothing to restore
        """Restore an earlier `memory`."""

    def fit_detection(self, frame: Picture, detection: Detections) -> tuple[np.ndarray, float]:
        """Mesh of a single detection; fitted twice, so that the first frame is as exact as those that follow."""
        eyes = detection.keypoints[0, [LEFT_EYE, RIGHT_EYE]]
        roi = roi_from_box(detection.boxes[0], left_eye=eyes[0], right_eye=eyes[1])
        mesh, presence = self.fitter.fit(frame, roi)
        if presence >= self.settings.presence_threshold:
            mesh, presence = self.fitter.fit(frame, roi_from_mesh(mesh))
        return mesh, presence


def prominence_order(faces: Detections) -> list[int]:
    """Indices of the faces, the main one first: largest area times score."""
    return np.argsort(-(box_sizes(faces.boxes) ** 2) * faces.scores, kind="stable").tolist()
