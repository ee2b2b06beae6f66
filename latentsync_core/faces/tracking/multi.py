"""Follow everybody in a clip at once: the mesh follows each face, the detector finds newcomers and those who return."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..detect import (
    LEFT_EYE,
    RIGHT_EYE,
    Detections,
    FaceDetector,
    merge,
    overlap,
)
from ..landmarks import (
    MeshFitter,
    mesh_box,
    roi_from_box,
    roi_from_mesh,
)
from .appearance import KnownLooks, Look, look_at
from .mesh_storage import MeshMemory
from .occlusion import LOOK_INTERVAL, lip_shift
from .shot_cuts import Change, ShotChanges
from .single import (
    DEFAULT_PRESENCE,
    NEARBY,
    SAME_PLACE,
    SIMILAR_SIZE,
    SURE_PRESENCE,
    TILE_INTERVAL,
    FaceSteps,
    Sighting,
    box_middles,
    box_sizes,
    distances,
    is_near,
    leaps,
    prominence_order,
)

SEARCH_INTERVAL = 3  # frames between two looks of the detector while everybody is in sight
SMALL_FACE_INTERVAL = 24  # frames between two searches for small faces beside those in sight
VIEW_INTERVAL = 6  # frames between two views of a person that are remembered
RECENT = 25  # frames for which somebody who vanished is expected near the same place
COASTING = 8  # frames for which a hidden face is taken to move on as before
ONE_FACE = 0.6  # intersection over union above which two meshes lie on one face
UNSEEN = 2  # looks of the detector without a face where a mesh is, after which a doubtful mesh is dropped
MOST_FRESH = 8  # unknown faces that the mesh may examine in one frame
SAME_SHOT_LOOK, OTHER_SHOT_LOOK = 0.6, 0.45  # greatest distance of looks (look.py) at which somebody is recognised
SMOOTHING = 0.3  # share of the newest step in a person's velocity


@dataclass(eq=False)
class Member:
    """One person: where seen, and all that helps to recognise them. sightings: by frame index."""

    sightings: dict[int, Sighting]
    looks: KnownLooks
    box: np.ndarray
    seen: int
    shot: int
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2, np.float32))  # pixels per frame
    unseen: int = 0
    steps: FaceSteps = field(default_factory=FaceSteps)
    memory: MeshMemory = field(default_factory=MeshMemory)

    def mesh_at(self, index: int) -> np.ndarray | None:
        """The mesh in a frame, None where this person was not seen."""
        sighting = self.sightings.get(index)
        return None if sighting is None else sighting.mesh

    def see(self, index: int, shot: int, sighting: Sighting) -> None:
        """Write down where this person is in frame `index`."""
        box = mesh_box(sighting.mesh)
        if self.seen == index - 1 and self.shot == shot:
            step = (box_middles(box[None]) - box_middles(self.box[None]))[0]
            self.velocity = (1 - SMOOTHING) * self.velocity + SMOOTHING * step
        elif self.seen != index:
            self.velocity = np.zeros(2, np.float32)
        self.sightings[index] = replace(sighting, mesh=self.memory.keep(sighting.mesh))
        self.box, self.seen, self.shot = box, index, shot

    def expected_box(self, index: int) -> np.ndarray:
        """Where this person is if they went on as before."""
        return self.box + np.tile(self.velocity, 2) * min(index - self.seen, COASTING)


@dataclass(frozen=True)
class Fresh:
    """A face that nobody followed accounts for."""

    sighting: Sighting
    box: np.ndarray
    look: Look


class Crowd:
    """Everybody in a stream of frames, fed one by one."""

    def __init__(self, detector: FaceDetector, fitter: MeshFitter, presence: float = DEFAULT_PRESENCE):
        self.detector, self.fitter, self.presence = detector, fitter, presence
        self.changes = ShotChanges()
        self.members: list[Member] = []
        self.cuts: list[int] = []
        self.count = 0  # frames seen
        self.best_detection = 0.0
        self.before_light: tuple[list[Member], int] = [], 0  # members and shot before what may be a flash
        self._begin(shot=0)

    def _begin(self, shot: int) -> None:
        self.shot = shot
        self.previous = self.count - 1  # the frame with which this one is compared
        self.small_faces_due = 0  # frame index

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, (H, W, 3) uint8 RGB."""
        index, self.count = self.count, self.count + 1
        change = self.changes.compare(frame)
        if change.returned:
            self._undo_flash(index - change.returned)
        elif change.is_cut:
            if change.may_be_flash:
                self.before_light = [replace(member) for member in self.members], self.shot
            self._cut(index)
        followed = self._follow(frame)
        if self._show_a_cut(followed, change):
            self._cut(index)
            followed = {}
        self._drop_double(followed, frame, index)
        if self._search_is_due(followed, index):
            before = set(followed)
            self._search(frame, index, followed)
            fresh = {member: followed[member] for member in followed if member not in before}
            if index not in self.cuts and self._show_a_cut(fresh, change):
                self._cut(index)
        for member, sighting in followed.items():
            if index % LOOK_INTERVAL == 0:
                sighting = replace(sighting, lip_shift=lip_shift(self.fitter, frame, sighting.mesh))
            member.see(index, self.shot, sighting)
        self.previous = index
        if index % VIEW_INTERVAL == 0:
            self._learn_looks(frame, index)

    def _undo_flash(self, start: int) -> None:
        """Take back the cuts since frame `start`: a flash is over, and all are where they were before it."""
        self.cuts = [cut for cut in self.cuts if cut < start]
        members, self.shot = self.before_light
        for member in members:
            member.sightings = {index: seen for index, seen in member.sightings.items() if index < start}
        self.members = members
        self.previous = start - 1

    def _cut(self, index: int) -> None:
        self.cuts.append(index)
        self._begin(self.shot + 1)
        self.small_faces_due = index

    def _follow(self, frame: np.ndarray) -> dict[Member, Sighting]:
        """Where the mesh finds those who were in the previous frame of this shot."""
        followed = {}
        for member in self.members:
            if member.seen != self.previous or member.shot != self.shot:
                continue
            mesh, presence = self.fitter.fit(frame, roi_from_mesh(member.mesh_at(self.previous)))
            if presence >= self.presence:
                followed[member] = Sighting(mesh, presence)
        return followed

    def _show_a_cut(self, followed: dict[Member, Sighting], change: Change) -> bool:
        """Whether faces jump as only a cut can make them, as in a punch-in."""
        jumped = False
        for member, sighting in followed.items():
            before = member.mesh_at(self.previous)
            if before is not None:
                jumped |= member.steps.jump(before, sighting.mesh) or leaps(before, sighting.mesh)
        return jumped and change.may_jump

    def _drop_double(self, followed: dict[Member, Sighting], frame: np.ndarray, index: int) -> None:
        """Where two people cross, both meshes end on the face in front: it stays with whom it continues best."""
        members = list(followed)
        for i, one in enumerate(members):
            for other in members[i + 1 :]:
                if one not in followed or other not in followed:
                    continue
                boxes = [mesh_box(followed[member].mesh) for member in (one, other)]
                if overlap(boxes[0], boxes[1][None])[0] <= ONE_FACE:
                    continue
                look = look_at(frame, followed[one].mesh)
                costs = [
                    shift_of(member.expected_box(index), box) + member.looks.distance(look)
                    for member, box in zip((one, other), boxes, strict=True)
                ]
                del followed[one if costs[0] > costs[1] else other]

    def _search_is_due(self, followed: dict[Member, Sighting], index: int) -> bool:
        """Whether the detector must look: now and then, and while somebody is missing."""
        if not followed or index % SEARCH_INTERVAL == 0:
            return True
        return any(m.shot == self.shot and m not in followed and index - m.seen <= 2 * RECENT for m in self.members)

    def _search(self, frame: np.ndarray, index: int, followed: dict[Member, Sighting]) -> None:
        """Let the detector confirm who is followed, and take up whom it finds besides."""
        faces = self._detect(frame, index, followed)
        self.best_detection = max(self.best_detection, faces.best_score)
        for member, sighting in list(followed.items()):
            seen = overlap(mesh_box(sighting.mesh), faces.boxes).max(initial=0) >= SAME_PLACE
            member.unseen = 0 if seen or sighting.presence >= SURE_PRESENCE else member.unseen + 1
            if member.unseen >= UNSEEN:
                del followed[member]
        fresh = self._fresh_faces(frame, faces, followed)
        for member, face in self._recognise(fresh, index, followed):
            if member is None:
                member = Member({}, KnownLooks(face.look), face.box, index, self.shot)
                self.members.append(member)
            member.unseen = 0
            followed[member] = face.sighting

    def _detect(self, frame: np.ndarray, index: int, followed: dict[Member, Sighting]) -> Detections:
        """The detector's faces; now and then also small ones."""
        tiles = index >= self.small_faces_due
        if tiles:
            self.small_faces_due = index + (SMALL_FACE_INTERVAL if followed else TILE_INTERVAL)
        if followed and not tiles:
            return next(self.detector.passes(frame, tiles=False))
        return merge(list(self.detector.passes(frame, tiles)))

    def _fresh_faces(self, frame: np.ndarray, faces: Detections, followed: dict[Member, Sighting]) -> list[Fresh]:
        """The faces that nobody followed accounts for, confirmed by the mesh."""
        taken = [mesh_box(sighting.mesh) for sighting in followed.values()]
        found: list[Fresh] = []
        for i in prominence_order(faces)[:MOST_FRESH]:
            if taken and overlap(faces.boxes[i], np.stack(taken)).max() >= SAME_PLACE:
                continue
            mesh, presence = self.fitter.fit(frame, roi_from_box(faces.boxes[i], *faces.keypoints[i, EYES]))
            if presence >= self.presence:
                mesh, presence = self.fitter.fit(frame, roi_from_mesh(mesh))
            box = mesh_box(mesh)
            slipped = bool(taken) and overlap(box, np.stack(taken)).max() > ONE_FACE / 2
            if presence < self.presence or slipped:
                continue
            taken.append(box)
            found.append(Fresh(Sighting(mesh, presence), box, look_at(frame, mesh)))
        return found

    def _recognise(
        self, fresh: list[Fresh], index: int, followed: dict[Member, Sighting]
    ) -> list[tuple[Member | None, Fresh]]:
        """Who each fresh face is: somebody known who is out of sight, at the least cost over all of them, or nobody."""
        missing = [member for member in self.members if member not in followed]
        costs = np.array([[self._cost(member, face, index) for member in missing] for face in fresh])
        who: dict[int, Member] = {}
        if costs.size:
            bounded = np.where(np.isfinite(costs), costs, UNKNOWN)
            for row, column in zip(*linear_sum_assignment(bounded), strict=True):
                if np.isfinite(costs[row, column]):
                    who[row] = missing[column]
        return [(who.get(row), face) for row, face in enumerate(fresh)]

    def _cost(self, member: Member, face: Fresh, index: int) -> float:
        """How unlikely it is that `face` is `member`, infinite where it cannot be."""
        look = member.looks.distance(face.look)
        away = min(shift_of(member.expected_box(index), face.box), shift_of(member.box, face.box))
        if member.shot != self.shot:
            return 1 + look + min(away, 3) / 30 if look <= OTHER_SHOT_LOOK else np.inf
        sizes = box_sizes(np.stack([member.box, face.box]))
        near = away <= NEARBY and sizes.max() <= SIMILAR_SIZE * sizes.min()
        if index - member.seen <= RECENT and near and look <= 2 * SAME_SHOT_LOOK:
            return look + away / 3
        return 1 + look + min(away, 3) / 10 if look <= SAME_SHOT_LOOK else np.inf

    def _learn_looks(self, frame: np.ndarray, index: int) -> None:
        """Remember how those look who stand apart from everybody else."""
        there = [m for m in self.members if m.shot == self.shot and index - m.seen <= RECENT]
        for member in there:
            others = np.array([m.box for m in there if m is not member]).reshape(-1, 4)
            if member.seen == index and not is_near(member.box[None], others).any():
                member.looks.learn(look_at(frame, member.mesh_at(index)))


EYES = [LEFT_EYE, RIGHT_EYE]
UNKNOWN = 1e6  # stands for infinity, which the assignment does not take


def shift_of(before: np.ndarray, after: np.ndarray) -> float:
    """How far a face went from one box (4,) to another, in sizes of the first."""
    return float(distances(before[None], after[None])[0, 0] / max(box_sizes(before[None])[0], 1e-6))
