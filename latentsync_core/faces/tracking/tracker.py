"""Follow faces through a clip: the mesh network fits each of them again where it was, a search finds the others.

Shots, flashes, discontinuous motion and second fits of the lips are handled here, the same for one face as for many.
Who is searched for, and how often the costly detector runs, is the search's: everybody.py or main_face.py.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from ...errors import LatentSyncError
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..face_track import FaceTrack, GapFilling
from ..landmarks import roi_from_mesh
from ..networks.facemesh import MESH_POINTS
from ..pictures import NO_FRAMES, Picture, require_frame
from .occlusion import REFIT_INTERVAL, lip_shift
from .search import FaceSearch, Moment
from .shot_cuts import Change, ShotChanges
from .tracked_face import Sighting, TrackedFace

SearchT = TypeVar("SearchT", bound=FaceSearch)


@dataclass(frozen=True)
class BeforeFlash:
    """The state before what may be a flash."""

    faces: list[TrackedFace]
    shot: int
    memory: Any  # the search's own


class Tracker(Generic[SearchT]):
    """The faces of a stream of frames, fed one by one and never kept."""

    def __init__(self, search: SearchT):
        self.search = search
        self.changes = ShotChanges()
        self.faces: list[TrackedFace] = []
        self.cuts: list[int] = []
        self.count = 0  # frames seen
        self.shape: tuple[int, ...] | None = None
        self.shot = 0
        self.previous = -1  # the frame with which this one is compared
        self.before_flash: BeforeFlash | None = None

    def add(self, frame: Picture) -> None:
        """Take the next frame, (H, W, 3) uint8 RGB or native.

        Raises LatentSyncError for what is no picture or of another size than those before.
        """
        self.shape = require_frame(frame, self.count, self.shape)
        index, self.count = self.count, self.count + 1
        change = self.changes.compare(frame)
        self._begin_shot_or_undo_flash(index, change)

        followed = self._follow(frame, index)
        if self._show_a_cut(followed, change):
            self._cut(index)
            followed = self.search.after_cut(index, followed)

        moment = Moment(frame, index, self.shot, self.faces, change.is_suspicious)
        followed, found = self.search.find(moment, followed)
        if index not in self.cuts and (_discontinuous(found) or self._show_a_cut(found, change)):
            self._cut(index)
            self.search.after_cut(index, found)

        self.faces += [face for face in found if face not in self.faces]
        seen = followed | found
        for face, sighting in seen.items():
            if index % REFIT_INTERVAL == 0:
                sighting = replace(sighting, lip_shift=lip_shift(self.search.fitter, frame, sighting.mesh))
            face.see(index, self.shot, sighting)
        self.previous = index
        self.search.finish(replace(moment, shot=self.shot), seen)

    def _begin_shot_or_undo_flash(self, index: int, change: Change) -> None:
        if change.returned:
            self._undo_flash(index - change.returned)
        elif change.is_cut:
            if change.may_be_flash:
                faces = [replace(face) for face in self.faces]
                self.before_flash = BeforeFlash(faces, self.shot, self.search.memory())
            self._cut(index)
            self.search.begin_shot(index)

    def _undo_flash(self, start: int) -> None:
        """Undo the cuts since frame `start`: a flash is over, and the state before it counts again."""
        before = self.before_flash
        self.cuts = [cut for cut in self.cuts if cut < start]
        self.faces, self.shot, self.previous = before.faces, before.shot, start - 1
        for face in self.faces:
            face.sightings = {index: seen for index, seen in face.sightings.items() if index < start}
        self.search.recall(before.memory)

    def _cut(self, index: int) -> None:
        self.cuts.append(index)
        self.shot += 1
        self.previous = index

    def _follow(self, frame: Picture, index: int) -> dict[TrackedFace, Sighting]:
        """Where the mesh finds those who were in the previous frame of this shot."""
        moment, followed = Moment(frame, index, self.shot, self.faces), {}
        for face in self.faces:
            if face.seen != self.previous or face.shot != self.shot:
                continue
            mesh, presence = self.search.fitter.fit(frame, roi_from_mesh(face.mesh_at(self.previous)))
            sighting = self.search.confirm(moment, face, Sighting(mesh, presence))
            if sighting is not None:
                followed[face] = sighting
        return followed

    def _show_a_cut(self, seen: dict[TrackedFace, Sighting], change: Change) -> bool:
        """Whether faces moved as only a cut explains, as in a punch-in."""
        discontinuous = False
        for face, sighting in seen.items():
            before = face.mesh_at(self.previous)
            if before is not None:
                discontinuous |= face.step_is_a_cut(before, sighting.mesh)
        return discontinuous and change.may_be_jump_cut

    def track(
        self,
        face: TrackedFace,
        max_gap: int,
        *,
        scores: np.ndarray | None = None,
        hidden: Collection[int] = (),
        release: bool = False,
    ) -> FaceTrack:
        """One face's track, in which gaps of up to `max_gap` frames are interpolated unless they hold a `hidden` one.

        Args:
            face: one of the tracker's.
            max_gap: frames.
            scores: (frames,) for every frame, by default those of the frames in which the face was seen, and else 0.
            hidden: frames in which another face is in front.
            release: drop the face's own meshes while they are copied, which halves the peak of memory.
        """
        mesh = np.empty((self.count, MESH_POINTS, 3), np.float32)
        presence, shifts = np.zeros(self.count, np.float32), np.full(self.count, np.nan, np.float32)
        for index in range(self.count):
            sighting = face.sightings.pop(index, None) if release else face.sightings.get(index)
            mesh[index] = np.nan if sighting is None else sighting.mesh
            if sighting is not None:
                presence[index], shifts[index] = sighting.presence, sighting.lip_shift
        scores = presence if scores is None else scores
        return FaceTrack.from_meshes(
            mesh,
            scores,
            cuts=self.cuts,
            size=self.shape[:2],
            filling=GapFilling(max_gap, hidden),
            lip_shifts=shifts,
        )

    def require_frames(self) -> None:
        """Raise LatentSyncError where there was no frame."""
        if self.count == 0:
            raise LatentSyncError(NO_FRAMES)


def _discontinuous(found: dict[TrackedFace, Sighting]) -> bool:
    return any(sighting.discontinuous for sighting in found.values())


def feed(
    frames: Iterable[Picture],
    trackers: Collection[Tracker],
    *,
    on_progress: OnProgress | None = None,
    check_cancelled: CheckCancelled | None = None,
    total: int | None = None,
) -> None:
    """Pass a clip's frames to trackers.

    Args:
        frames: (H, W, 3) uint8 RGB or native, consumed once.
        trackers: which get every frame.
        on_progress, check_cancelled: called for each frame.
        total: the number of frames, for on_progress only.
    """
    on_progress, check_cancelled = on_progress or ignore_progress, check_cancelled or never_cancelled
    for done, frame in enumerate(frames, 1):
        check_cancelled()
        for tracker in trackers:
            tracker.add(frame)
        on_progress(done, max(done, total or 0))
