"""Search for all faces: the detector finds new and returning people, identified by their appearance and place.

It runs every SEARCH_INTERVAL frames while everybody is in sight and in every frame while somebody is missing; beside
those in sight, small faces are searched for every SMALL_FACE_INTERVAL frames.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..detect import Detections, merge, overlap
from ..landmarks import mesh_box
from ..networks.nets import FaceNets
from .appearance import Appearance, KnownViews, appearance_of
from .motion import NEARBY, SAME_PLACE, SIMILAR_SIZE, box_middles, box_sizes, is_near, shift_of
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

SEARCH_INTERVAL = 3  # frames between two runs of the detector while everybody is in sight
SMALL_FACE_INTERVAL = 24  # frames between two searches for small faces beside those in sight
VIEW_INTERVAL = 6  # frames between two views of a person that are kept
RECENT = 25  # frames for which somebody out of sight is expected near the same place
COASTING = 8  # frames for which a hidden face is extrapolated at constant velocity
ONE_FACE = 0.6  # intersection over union above which two meshes lie on one face
UNSEEN = 2  # runs of the detector without a face where a mesh is, after which a doubtful mesh is dropped
MOST_FRESH = 8  # unknown faces that are fitted in one frame
# greatest distance of appearances (appearance.py) at which somebody is recognised
SAME_SHOT_DISTANCE, OTHER_SHOT_DISTANCE = 0.6, 0.45
SMOOTHING = 0.3  # share of the newest step in a person's velocity
IMPOSSIBLE = 1e6  # cost in place of infinity, which the assignment does not take


@dataclass(eq=False)
class TrackedPerson(TrackedFace):
    """A followed face with what helps to recognise it. velocity (2,): pixels per frame, while it is out of sight too.

    views: of the face so far. unseen: runs of the detector in a row without a face where the mesh is.
    """

    views: KnownViews = field(kw_only=True)
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2, np.float32))
    unseen: int = 0

    def see(self, index: int, shot: int, sighting: Sighting) -> None:
        """Record where this person is in frame `index`, the newest one."""
        if self.seen == index - 1 and self.shot == shot:
            step = (box_middles(mesh_box(sighting.mesh)[None]) - box_middles(self.box[None]))[0]
            self.velocity = (1 - SMOOTHING) * self.velocity + SMOOTHING * step
        else:
            self.velocity = np.zeros(2, np.float32)
        super().see(index, shot, sighting)

    def expected_box(self, index: int) -> np.ndarray:
        """The box of this person at constant velocity."""
        return self.box + np.tile(self.velocity, 2) * min(index - self.seen, COASTING)


@dataclass(frozen=True)
class Fresh:
    """A detected face that belongs to none of the followed people."""

    sighting: Sighting
    box: np.ndarray
    view: Appearance


class EverybodySearch(FaceSearch):
    """Follows each face from its first appearance and recognises those who were out of sight."""

    def __init__(self, nets: FaceNets, settings: TrackingSettings):
        super().__init__(nets, settings)
        self.small_faces_due = 0  # frame index

    def begin_shot(self, index: int) -> None:
        """Who is where must be found anew, small faces included."""
        self.small_faces_due = index

    def after_cut(self, index: int, followed: Seen) -> Seen:
        """Nobody is kept: other people may be where the meshes went."""
        self.begin_shot(index)
        return {}

    def confirm(self, moment: Moment, face: TrackedFace, fitted: Sighting) -> Sighting | None:
        """The fitted face where its presence score is high enough."""
        return fitted if fitted.presence >= self.settings.presence_threshold else None

    def find(self, moment: Moment, followed: Seen) -> tuple[Seen, Seen]:
        """Let the detector confirm who is followed, and add whom it finds besides."""
        followed = drop_double(moment, followed)
        if not self._is_due(moment, followed):
            return followed, {}
        faces = self._detect(moment, followed)
        self.best_detection = max(self.best_detection, faces.best_score)
        kept = {person: seen for person, seen in followed.items() if self._is_kept(person, seen, faces)}
        found: Seen = {}
        fresh = self._fresh_faces(moment, faces, kept)
        for known, face in self._recognise(fresh, moment, kept):
            person = known or TrackedPerson(views=KnownViews(face.view))
            person.unseen = 0
            found[person] = face.sighting
        return kept, found

    def _is_due(self, moment: Moment, followed: Seen) -> bool:
        """Whether the detector runs: every SEARCH_INTERVAL frames, and while somebody is missing."""
        if not followed or moment.index % SEARCH_INTERVAL == 0:
            return True
        return any(
            person.shot == moment.shot and person not in followed and moment.index - person.seen <= 2 * RECENT
            for person in moment.faces
        )

    def _is_kept(self, person: TrackedPerson, sighting: Sighting, faces: Detections) -> bool:
        """Whether a followed face is still there, by its presence score or by the detector."""
        seen = overlap(mesh_box(sighting.mesh), faces.boxes).max(initial=0) >= SAME_PLACE
        person.unseen = 0 if seen or sighting.presence >= SURE_PRESENCE else person.unseen + 1
        return person.unseen < UNSEEN

    def _detect(self, moment: Moment, followed: Seen) -> Detections:
        """The detector's faces; every SMALL_FACE_INTERVAL frames also small ones."""
        tiles = moment.index >= self.small_faces_due
        if tiles:
            self.small_faces_due = moment.index + (SMALL_FACE_INTERVAL if followed else TILE_INTERVAL)
        if followed and not tiles:
            return next(self.detector.passes(moment.frame, tiles=False))
        return merge(list(self.detector.passes(moment.frame, tiles)))

    def _fresh_faces(self, moment: Moment, faces: Detections, followed: Seen) -> list[Fresh]:
        """The faces that belong to none of the followed people, confirmed by the mesh."""
        taken = [mesh_box(sighting.mesh) for sighting in followed.values()]
        found: list[Fresh] = []
        allowed = self.settings.allowed(faces)
        for i in prominence_order(allowed)[:MOST_FRESH]:
            if taken and overlap(allowed.boxes[i], np.stack(taken)).max() >= SAME_PLACE:
                continue
            mesh, presence = self.fit_detection(moment.frame, allowed.keep(np.array([i])))
            box = mesh_box(mesh)
            slipped = bool(taken) and overlap(box, np.stack(taken)).max() > ONE_FACE / 2
            if presence < self.settings.presence_threshold or slipped:
                continue
            taken.append(box)
            found.append(Fresh(Sighting(mesh, presence), box, appearance_of(moment.frame, mesh)))
        return found

    def _recognise(
        self, fresh: list[Fresh], moment: Moment, followed: Seen
    ) -> list[tuple[TrackedPerson | None, Fresh]]:
        """Who each fresh face is: a known person out of sight, by the assignment of least total cost, or nobody."""
        missing = [person for person in moment.faces if person not in followed]
        costs = np.array([[recognition_cost(person, face, moment) for person in missing] for face in fresh])
        who: dict[int, TrackedPerson] = {}
        if costs.size:
            bounded = np.where(np.isfinite(costs), costs, IMPOSSIBLE)
            for row, column in zip(*linear_sum_assignment(bounded), strict=True):
                if np.isfinite(costs[row, column]):
                    who[row] = missing[column]
        return [(who.get(row), face) for row, face in enumerate(fresh)]

    def finish(self, moment: Moment, seen: Seen) -> None:
        """Every VIEW_INTERVAL frames keep the appearance of those who are apart from everybody else."""
        if moment.index % VIEW_INTERVAL:
            return
        there = [p for p in moment.faces if p.shot == moment.shot and moment.index - p.seen <= RECENT]
        for person in there:
            others = np.array([p.box for p in there if p is not person]).reshape(-1, 4)
            if person.seen == moment.index and not is_near(person.box[None], others).any():
                person.views.add(appearance_of(moment.frame, person.mesh_at(moment.index)))


def drop_double(moment: Moment, followed: Seen) -> Seen:
    """Where two people cross, both meshes end on the face in front: it stays with whom it continues best."""
    kept, people = dict(followed), list(followed)
    for i, one in enumerate(people):
        for other in people[i + 1 :]:
            if one not in kept or other not in kept:
                continue
            boxes = [mesh_box(kept[person].mesh) for person in (one, other)]
            if overlap(boxes[0], boxes[1][None])[0] <= ONE_FACE:
                continue
            view = appearance_of(moment.frame, kept[one].mesh)
            costs = [
                shift_of(person.expected_box(moment.index), box) + person.views.distance(view)
                for person, box in zip((one, other), boxes, strict=True)
            ]
            del kept[one if costs[0] > costs[1] else other]
    return kept


def recognition_cost(person: TrackedPerson, face: Fresh, moment: Moment) -> float:
    """How unlikely it is that `face` is `person`, infinite where it cannot be."""
    difference = person.views.distance(face.view)
    away = min(shift_of(person.expected_box(moment.index), face.box), shift_of(person.box, face.box))
    if person.shot != moment.shot:
        return 1 + difference + min(away, 3) / 30 if difference <= OTHER_SHOT_DISTANCE else np.inf
    sizes = box_sizes(np.stack([person.box, face.box]))
    near = away <= NEARBY and sizes.max() <= SIMILAR_SIZE * sizes.min()
    if moment.index - person.seen <= RECENT and near and difference <= 2 * SAME_SHOT_DISTANCE:
        return difference + away / 3
    return 1 + difference + min(away, 3) / 10 if difference <= SAME_SHOT_DISTANCE else np.inf
