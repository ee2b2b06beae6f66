"""Search for one face, the most prominent one of each shot, with as few runs of the detector as possible.

While the face is followed the detector runs only every CHECK_INTERVAL frames, to check that the mesh has not drifted;
who comes in meanwhile is noted as a bystander and never followed. Where the face is lost the detector runs in every
frame, and in every TILE_INTERVAL-th also for small faces. A face found elsewhere in a changed picture begins a shot.
"""

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from ..detect import Detections, overlap
from ..landmarks import mesh_box, roi_from_mesh
from ..networks.nets import FaceNets
from ..pictures import Picture, kept
from .motion import SAME_PLACE, distances, is_near
from .search import (
    SURE_PRESENCE,
    TILE_INTERVAL,
    FaceSearch,
    Moment,
    Seen,
    TrackingSettings,
    prominence_order,
)
from .tracked_face import Sighting, TrackedFace

CHECK_INTERVAL = 12  # frames between two runs of the detector on a face that the mesh follows
MOST_TRIED = 3  # detections that are fitted in one frame
BACKWARD_FRAMES = (
    TILE_INTERVAL  # frames without a face that are kept, to track a face found later backwards through them
)


@dataclass
class Surroundings:
    """The state of a shot beside the face's mesh.

    last_box: (4,) where the face was seen last in this shot; bystanders: (K, 4) boxes of the faces seen beside it.
    """

    last_box: np.ndarray | None = None
    bystanders: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    frames_missing: int = 0
    frames_unchecked: int = 0

    def are_bystanders(self, boxes: np.ndarray) -> np.ndarray:
        """(K,) bool: which faces are one of the others: near one, and nearer to it than to the face's last place."""
        near = is_near(boxes, self.bystanders)
        if self.last_box is not None:
            near &= distances(boxes, self.bystanders) < distances(boxes, self.last_box[None])
        return near.any(1)

    def may_be_last(self, boxes: np.ndarray, max_gap: int) -> np.ndarray:
        """(K,) bool: which faces may be the one last seen at `last_box`.

        Shortly after, those near that place, or the only one in the picture; later, any that was not seen beside it.
        """
        lone = len(boxes) == 1 and len(self.bystanders) == 0
        if lone or self.frames_missing >= max_gap:
            return np.ones(len(boxes), bool)
        return is_near(boxes, self.last_box[None])[:, 0]

    def move_bystanders(self, faces: Detections) -> None:
        """Update the bystanders' boxes while the face is out of sight."""
        for j, box in enumerate(self.bystanders):
            shared = overlap(box, faces.boxes)
            if shared.max(initial=0) >= SAME_PLACE:
                self.bystanders[j] = faces.boxes[shared.argmax()]


class MainFaceSearch(FaceSearch):
    """Follows one face through each shot; the tracker has a single TrackedFace, whoever it is in each shot."""

    def __init__(self, nets: FaceNets, settings: TrackingSettings):
        super().__init__(nets, settings)
        self.presences: list[float] = []  # by frame: the highest presence score of the mesh network
        self.doubted = 0.0  # the same for faces that were not confirmed in this frame
        self.around = Surroundings()
        self.faceless: deque[Picture] = deque(maxlen=BACKWARD_FRAMES)  # the frames just before this one without a face

    def begin_shot(self, index: int) -> None:
        """Forget everybody: frame `index` belongs to another shot."""
        self.around = Surroundings()
        self.faceless.clear()

    def memory(self) -> Surroundings:
        """The state of this shot."""
        return replace(self.around)

    def recall(self, memory: Surroundings) -> None:
        """Return to an earlier `memory`."""
        self.around = memory
        self.faceless.clear()

    def after_cut(self, index: int, followed: Seen) -> Seen:
        """The face continues in the new shot; only the frames before it are dropped."""
        self.faceless.clear()
        return followed

    def confirm(self, moment: Moment, face: TrackedFace, fitted: Sighting) -> Sighting | None:
        """What the mesh network fitted, compared every CHECK_INTERVAL frames with the detector's face at that place."""
        around, frame, threshold = self.around, moment.frame, self.settings.presence_threshold
        self.doubted = fitted.presence
        held = fitted.presence >= threshold
        around.frames_unchecked += 1
        if held and around.frames_unchecked < CHECK_INTERVAL:
            return fitted
        around.frames_unchecked = 0
        box = mesh_box(fitted.mesh) if held else around.last_box
        detection = self._detect_same(frame, box)
        if len(detection) == 0:
            return fitted if fitted.presence >= SURE_PRESENCE else None
        if held and overlap(box, detection.boxes)[0] >= 0.5:
            return fitted
        mesh, presence = self.fit_detection(frame, detection)  # the mesh drifted or lost the face
        neighbour = around.are_bystanders(mesh_box(mesh)[None])[0]
        if presence >= max(fitted.presence, threshold) and not neighbour:
            return Sighting(mesh, presence)
        return fitted if held else None

    def _detect_same(self, frame: Picture, box: np.ndarray) -> Detections:
        """The detection of the face at `box`, one or none; also notes who else is in the picture."""
        faces = self.detector.detect(frame, tiles=False)
        same = overlap(box, faces.boxes) >= SAME_PLACE
        if not same.any():  # too small for the view of the whole frame
            near = self.detector.detect_near(frame, box)
            return near.keep(np.flatnonzero(overlap(box, near.boxes) >= SAME_PLACE)[:1])
        self.around.bystanders = faces.boxes[~same]
        return faces.keep(np.flatnonzero(same)[:1])

    def find(self, moment: Moment, followed: Seen) -> tuple[Seen, Seen]:
        """Find the face among the detector's; nobody new while it is followed."""
        if followed:
            return followed, {}
        face, lost = moment.faces[0] if moment.faces else TrackedFace(), self.doubted
        # detections the mesh does not confirm must not end the search: a real, smaller face may come in a later pass
        for faces in self.detector.passes(moment.frame, tiles=self.around.frames_missing % TILE_INTERVAL == 0):
            self.best_detection = max(self.best_detection, faces.best_score)
            sighting = self._take_up(moment, faces)
            if sighting is not None:
                return {}, {face: replace(sighting, presence=max(sighting.presence, lost))}
        return {}, {}

    def _take_up(self, moment: Moment, faces: Detections) -> Sighting | None:
        """The face among some detections, confirmed by the mesh network."""
        around, candidates = self.around, self.settings.allowed(faces)
        if around.last_box is not None:
            candidates = candidates.keep(~around.are_bystanders(candidates.boxes))
            if not moment.maybe_cut:
                candidates = candidates.keep(around.may_be_last(candidates.boxes, self.settings.max_gap))
            around.move_bystanders(faces)
        for i in prominence_order(candidates)[:MOST_TRIED]:
            mesh, presence = self.fit_detection(moment.frame, candidates.keep(np.array([i])))
            self.doubted = max(self.doubted, presence)
            box = mesh_box(mesh)[None]
            # the mesh may converge to a neighbour
            if presence < self.settings.presence_threshold or around.are_bystanders(box)[0]:
                continue
            if around.last_box is None:
                around.bystanders = faces.boxes[overlap(box[0], faces.boxes) < SAME_PLACE]
            elsewhere = around.last_box is not None and not is_near(box, around.last_box[None]).item()
            return Sighting(mesh, presence, discontinuous=elsewhere)
        return None

    def finish(self, moment: Moment, seen: Seen) -> None:
        """Record where the face is; once it is found, track it backwards into frames where the detector missed it."""
        around = self.around
        if not seen:
            self.presences.append(self.doubted)
            around.frames_missing += 1
            self.faceless.append(kept(moment.frame))
        for face, sighting in seen.items():
            self.presences.append(sighting.presence)
            around.last_box, around.frames_missing = mesh_box(sighting.mesh), 0
            self._track_back(moment.index, face, sighting.mesh)
        self.doubted = 0.0

    def _track_back(self, index: int, face: TrackedFace, mesh: np.ndarray) -> None:
        """Find in the frames just before frame `index`, which held no face for the detector, the one with `mesh`."""
        for earlier in range(index - 1, index - 1 - len(self.faceless), -1):
            mesh, presence = self.fitter.fit(self.faceless.pop(), roi_from_mesh(mesh))
            if presence < self.settings.presence_threshold:
                break
            face.write(earlier, Sighting(mesh, presence))
            self.presences[earlier] = presence
        self.faceless.clear()
