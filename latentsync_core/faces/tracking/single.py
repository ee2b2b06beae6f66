"""Follow one person's face from frame to frame: where it was, the mesh looks again; where it is lost, the detector."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..detect import (
    LEFT_EYE,
    RIGHT_EYE,
    Detections,
    FaceDetector,
    Region,
    overlap,
)
from ..landmarks import (
    MeshFitter,
    mesh_box,
    roi_from_box,
    roi_from_mesh,
)

DEFAULT_PRESENCE = 0.5  # MediaPipe's threshold for the mesh network's own opinion
SURE_PRESENCE = 0.8  # asked of a mesh where the detector sees no face
CHECK_INTERVAL = 12  # frames between two looks of the detector at a face that the mesh follows
TILE_INTERVAL = 8  # frames between two searches for small faces while there is none
MOST_TRIED = 3  # detections that the mesh may examine in one frame
SAME_PLACE = 0.2  # intersection over union with the last box
NEARBY = 1.5  # distance from the last place, in face sizes, that a face may cover while out of sight
SIMILAR_SIZE = 1.6  # factor
LEAP_SHIFT = 0.2  # face sizes from one frame to the next
JUMP_STEP, JUMP_RATIO = 0.08, 3.0  # face sizes between frames, and times the largest step of the few before
JUMP_FRAMES = 3
LEAP_GROWTH = 1.1  # factor from one frame to the next


@dataclass(frozen=True)
class Sighting:
    """One frame's answer: the mesh (468, 3) or None, how sure the mesh network and the detector were at best.

    jumped: the face is where it cannot have moved to, so that a shot must have begun.
    lip_shift: how far the lips moved in a second look, NaN without one.
    """

    mesh: np.ndarray | None
    presence: float = 0.0
    detection: float = 0.0
    jumped: bool = False
    lip_shift: float = math.nan


@dataclass(frozen=True)
class FaceChoice:
    """Which faces may be taken up.

    region: only faces whose middle lies in x0, y0, x1, y1 (pixels); minimum_size: longer side of the detector's box in
    pixels; presence: least probability by the mesh network.
    """

    region: Region | None = None
    minimum_size: float = 0.0
    presence: float = DEFAULT_PRESENCE

    def allowed(self, faces: Detections) -> Detections:
        """The detections that fulfil size and region."""
        keep = box_sizes(faces.boxes) >= self.minimum_size
        if self.region is not None:
            middle = box_middles(faces.boxes)
            keep &= ((middle >= self.region[:2]) & (middle < self.region[2:])).all(1)
        return faces.keep(keep)


class FaceFollower:
    """One person through a clip. Several may share a detector and a fitter; each knows the others as bystanders."""

    def __init__(self, detector: FaceDetector, fitter: MeshFitter, choice: FaceChoice, max_gap: int):
        self.detector = detector
        self.fitter = fitter
        self.choice = choice
        self.max_gap = max_gap
        self.start_shot()

    def start_shot(self) -> None:
        """Forget everybody: the next frame belongs to another shot."""
        self.mesh: np.ndarray | None = None  # of the previous frame
        self.last_box: np.ndarray | None = None  # where the person was seen last in this shot
        self.bystanders = np.zeros((0, 4), np.float32)  # boxes of faces seen beside the person's
        self.frames_missing = 0
        self.frames_unchecked = 0

    def memory(self) -> tuple:
        """What is known of this shot, for `recall` to go on from."""
        return self.mesh, self.last_box, self.bystanders, self.frames_missing, self.frames_unchecked

    def recall(self, memory: tuple) -> None:
        """Go on from an earlier `memory`, as if nothing had been seen since."""
        self.mesh, self.last_box, self.bystanders, self.frames_missing, self.frames_unchecked = memory

    def follow(self, frame: np.ndarray, maybe_cut: bool = False) -> Sighting:
        """Find the person in the next frame, (H, W, 3) uint8 RGB; anywhere in it if that may be a new shot."""
        sighting = self._look_again(frame) if self.mesh is not None else Sighting(None)
        if sighting.mesh is None:
            search = self._search(frame, maybe_cut)
            sighting = Sighting(search.mesh, max(search.presence, sighting.presence), search.detection, search.jumped)
        self.mesh = sighting.mesh
        self.frames_missing = 0 if sighting.mesh is not None else self.frames_missing + 1
        if sighting.mesh is not None:
            self.last_box = mesh_box(sighting.mesh)
        return sighting

    def trace_back(self, frame: np.ndarray, mesh: np.ndarray) -> Sighting:
        """Find in an earlier frame, which held no face for the detector, the one that follows it."""
        mesh, presence = self.fitter.fit(frame, roi_from_mesh(mesh))
        return Sighting(mesh if presence >= self.choice.presence else None, presence)

    def _look_again(self, frame: np.ndarray) -> Sighting:
        mesh, presence = self.fitter.fit(frame, roi_from_mesh(self.mesh))
        held = presence >= self.choice.presence
        self.frames_unchecked += 1
        if held and self.frames_unchecked < CHECK_INTERVAL:
            return Sighting(mesh, presence)
        self.frames_unchecked = 0
        box = mesh_box(mesh) if held else self.last_box
        detection = self._detect_same(frame, box)
        if len(detection) == 0:
            return Sighting(mesh if presence >= SURE_PRESENCE else None, presence)
        if held and overlap(box, detection.boxes)[0] >= 0.5:
            return Sighting(mesh, presence)
        new_mesh, new_presence = self._fit_detection(frame, detection)  # the mesh drifted or was shaken off
        neighbour = self._are_bystanders(mesh_box(new_mesh)[None])[0]
        if new_presence >= max(presence, self.choice.presence) and not neighbour:
            return Sighting(new_mesh, new_presence)
        return Sighting(mesh if held else None, presence)

    def _detect_same(self, frame: np.ndarray, box: np.ndarray) -> Detections:
        """The detection of the face at `box`, one or none; also notes who else is in the picture."""
        faces = self.detector.detect(frame, tiles=False)
        same = overlap(box, faces.boxes) >= SAME_PLACE
        if not same.any():  # too small for the view of the whole frame
            near = self.detector.detect_near(frame, box)
            return near.keep(np.flatnonzero(overlap(box, near.boxes) >= SAME_PLACE)[:1])
        self.bystanders = faces.boxes[~same]
        return faces.keep(np.flatnonzero(same)[:1])

    def _search(self, frame: np.ndarray, maybe_cut: bool) -> Sighting:
        """Take up the person anew, or for the first time, from the detector's faces."""
        presence = detection = 0.0
        # detections the mesh does not confirm must not end the search: a real, smaller face may come in a later pass
        for faces in self.detector.passes(frame, tiles=self.frames_missing % TILE_INTERVAL == 0):
            sighting = self._take_up(frame, faces, maybe_cut)
            presence, detection = max(presence, sighting.presence), max(detection, faces.best_score)
            if sighting.mesh is not None:
                return Sighting(sighting.mesh, sighting.presence, detection, sighting.jumped)
        return Sighting(None, presence, detection)

    def _take_up(self, frame: np.ndarray, faces: Detections, maybe_cut: bool) -> Sighting:
        """The person among some detections, confirmed by the mesh network."""
        candidates = self.choice.allowed(faces)
        if self.last_box is not None:
            candidates = candidates.keep(~self._are_bystanders(candidates.boxes))
            if not maybe_cut:
                candidates = candidates.keep(self._may_be_last(candidates.boxes))
            self._move_bystanders(faces)
        presence = 0.0
        for i in prominence_order(candidates)[:MOST_TRIED]:
            mesh, confirmed = self._fit_detection(frame, candidates.keep(np.array([i])))
            presence = max(presence, confirmed)
            box = mesh_box(mesh)[None]
            # the mesh may slip to a neighbour
            if confirmed < self.choice.presence or self._are_bystanders(box)[0]:
                continue
            if self.last_box is None:
                self.bystanders = faces.boxes[overlap(box[0], faces.boxes) < SAME_PLACE]
            jumped = self.last_box is not None and not is_near(box, self.last_box[None]).item()
            return Sighting(mesh, confirmed, jumped=jumped)
        return Sighting(None, presence)

    def _may_be_last(self, boxes: np.ndarray) -> np.ndarray:
        """(K,) bool: which faces may be the person last seen at `last_box`.

        Shortly after, those near that place, or the only one in the picture; later, any that was not seen beside it.
        """
        lone = len(boxes) == 1 and len(self.bystanders) == 0
        if lone or self.frames_missing >= self.max_gap:
            return np.ones(len(boxes), bool)
        return is_near(boxes, self.last_box[None])[:, 0]

    def _are_bystanders(self, boxes: np.ndarray) -> np.ndarray:
        """(K,) bool: which faces are one of the others: near one, and nearer to it than to the person's place."""
        near = is_near(boxes, self.bystanders)
        if self.last_box is not None:
            near &= distances(boxes, self.bystanders) < distances(boxes, self.last_box[None])
        return near.any(1)

    def _move_bystanders(self, faces: Detections) -> None:
        """Keep up with the others while the person is out of sight."""
        for j, box in enumerate(self.bystanders):
            shared = overlap(box, faces.boxes)
            if shared.max(initial=0) >= SAME_PLACE:
                self.bystanders[j] = faces.boxes[shared.argmax()]

    def _fit_detection(self, frame: np.ndarray, detection: Detections) -> tuple[np.ndarray, float]:
        """Mesh of a single detection; fitted twice, so that the first frame is as exact as those that follow."""
        eyes = detection.keypoints[0, [LEFT_EYE, RIGHT_EYE]]
        mesh, presence = self.fitter.fit(frame, roi_from_box(detection.boxes[0], *eyes))
        if presence >= self.choice.presence:
            mesh, presence = self.fitter.fit(frame, roi_from_mesh(mesh))
        return mesh, presence


def prominence_order(faces: Detections) -> list[int]:
    """Indices of the faces, the main one first: largest area times score."""
    return np.argsort(-(box_sizes(faces.boxes) ** 2) * faces.scores, kind="stable").tolist()


class FaceSteps:
    """How far one face moves from frame to frame, and whether a step is out of all proportion to those before."""

    def __init__(self):
        self.recent: deque[float] = deque(maxlen=JUMP_FRAMES)

    def jump(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether the step between two meshes (468, 3) of consecutive frames is one that only a cut makes."""
        size = max(box_sizes(mesh_box(before)[None])[0], 1e-6)
        step = float(np.abs(after[:, :2] - before[:, :2]).mean() / size)
        enough = len(self.recent) == JUMP_FRAMES
        jumped = enough and step > JUMP_STEP and step > JUMP_RATIO * max(self.recent)
        self.recent.append(step)
        return jumped


def leaps(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a face, by its meshes (468, 3) in two consecutive frames, moved or grew as only a cut can make it."""
    boxes = np.stack([mesh_box(before), mesh_box(after)])
    sizes = box_sizes(boxes)
    shift = np.linalg.norm(np.diff(box_middles(boxes), axis=0))
    return bool(shift > LEAP_SHIFT * sizes.min() or sizes.max() > LEAP_GROWTH * sizes.min())


def box_sizes(boxes: np.ndarray) -> np.ndarray:
    """(K, 4) -> (K,): the longer side."""
    return (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)


def box_middles(boxes: np.ndarray) -> np.ndarray:
    """(K, 4) -> (K, 2)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def is_near(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K, 4), (M, 4) -> (K, M) bool: could a face of the one box have moved to the other within a few frames?"""
    sizes, other_sizes = box_sizes(boxes)[:, None], box_sizes(others)[None]
    ratio = np.maximum(sizes, other_sizes) / np.maximum(np.minimum(sizes, other_sizes), 1e-6)
    return (distances(boxes, others) <= NEARBY * other_sizes) & (ratio <= SIMILAR_SIZE)


def distances(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K, 4), (M, 4) -> (K, M): between the middles, in pixels."""
    return np.linalg.norm(box_middles(boxes)[:, None] - box_middles(others)[None], axis=-1)
