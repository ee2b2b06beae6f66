"""Everybody in a clip, numbered in the order in which they first appear."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import LatentSyncError
from ...progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from ..detect import DEFAULT_THRESHOLD, FaceDetector, overlap
from ..face_track import DEFAULT_MAX_GAP, FaceState, FaceTrack
from ..landmarks import MeshFitter, mesh_box
from ..networks.facemesh import MESH_POINTS
from ..networks.nets import FaceNets
from ..pictures import NO_FRAMES, require_frame
from .multi import Crowd, Member
from .single import DEFAULT_PRESENCE

FEWEST_FRAMES = 5  # seen in fewer frames of a clip of twice as many, it was no person
COVERED = 0.1  # intersection over union with another face from which a face out of sight is behind that one


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a clip. number: from 1, by first appearance, then from left to right."""

    number: int
    track: FaceTrack

    @property
    def frames(self) -> np.ndarray:
        """Indices of the frames in which the face was found."""
        return np.flatnonzero(self.track.states == FaceState.DETECTED)

    @property
    def middle(self) -> np.ndarray:
        """(2,) pixels: where the face mostly is."""
        boxes = self.track.boxes[self.frames]
        return np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)

    @property
    def size(self) -> float:
        """Pixels: the longer side of the face's box, mostly."""
        boxes = self.track.boxes[self.frames]
        return float(np.median((boxes[:, 2:] - boxes[:, :2]).max(1)))


@dataclass(frozen=True, eq=False)
class People:
    """Everybody found in a clip of `count` frames, by number; cuts as in FaceTrack; height, width in pixels.

    best_detection: the detector's highest score, for clips in which nobody was found.
    """

    persons: tuple[Person, ...]
    cuts: tuple[int, ...]
    count: int
    height: int
    width: int
    best_detection: float = 0.0

    def boxes_at(self, index: int) -> dict[int, np.ndarray]:
        """Number -> box (4,) of everybody in frame `index`."""
        return {p.number: p.track.boxes[index] for p in self.persons if p.track.present[index]}


def track_people(
    frames: Iterable[np.ndarray],
    *,
    device: torch.device | str = "cpu",
    nets: FaceNets | None = None,
    on_progress: OnProgress | None = None,
    check_cancelled: CheckCancelled | None = None,
    total: int | None = None,
    detection_threshold: float = DEFAULT_THRESHOLD,
    presence_threshold: float = DEFAULT_PRESENCE,
    max_gap: int = DEFAULT_MAX_GAP,
) -> People:
    """Follow everybody through a clip; the arguments are those of track_faces.

    Who crosses another, is hidden for a while or leaves and comes back within a shot keeps the number; across a cut,
    who looks much the same as before (look.py). Raises LatentSyncError for frames of other kinds and no frames; a clip
    without anybody gives nobody.
    """
    on_progress, check_cancelled = on_progress or ignore_progress, check_cancelled or never_cancelled
    recorder = PeopleRecorder(nets or FaceNets(device), detection_threshold, presence_threshold)
    for done, frame in enumerate(frames, 1):
        check_cancelled()
        recorder.add(frame)
        on_progress(done, max(done, total or 0))
    return recorder.people(max_gap)


class PeopleRecorder:
    """Feeds frames to a Crowd and numbers whom it saw."""

    def __init__(
        self,
        nets: FaceNets,
        detection_threshold: float = DEFAULT_THRESHOLD,
        presence_threshold: float = DEFAULT_PRESENCE,
    ):
        detector = FaceDetector(nets=nets, threshold=detection_threshold)
        self.crowd = Crowd(detector, MeshFitter(nets=nets), presence_threshold)
        self.shape: tuple[int, ...] | None = None

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame. Raises LatentSyncError for what is no picture or of another size than those before."""
        self.shape = require_frame(frame, self.crowd.count, self.shape)
        self.crowd.add(frame)

    def people(self, max_gap: int) -> People:
        """Everybody, with tracks in which gaps of up to `max_gap` frames are interpolated."""
        crowd = self.crowd
        if crowd.count == 0:
            raise LatentSyncError(NO_FRAMES)
        enough = min(FEWEST_FRAMES, (crowd.count + 1) // 2)
        members = [member for member in crowd.members if len(member.sightings) >= enough]
        members.sort(key=first_appearance)
        gaps = hidden_frames(members, [self._track(member, max_gap) for member in members])
        persons = tuple(
            Person(number, self._track(member, max_gap, hidden))
            for number, (member, hidden) in enumerate(zip(members, gaps, strict=True), 1)
        )
        return People(persons, tuple(crowd.cuts), crowd.count, *self.shape[:2], crowd.best_detection)

    def _track(self, member: Member, max_gap: int, hidden: Collection[int] = ()) -> FaceTrack:
        count = self.crowd.count
        mesh, scores = np.full((count, MESH_POINTS, 3), np.nan, np.float32), np.zeros(count, np.float32)
        shifts = np.full(count, np.nan, np.float32)
        for index, sighting in member.sightings.items():
            mesh[index], scores[index], shifts[index] = sighting.mesh, sighting.presence, sighting.lip_shift
        return FaceTrack.from_meshes(mesh, scores, self.crowd.cuts, self.shape[:2], max_gap, shifts, hidden)


def first_appearance(member: Member) -> tuple[int, float]:
    """The first frame, and the place from left to right in it."""
    index = min(member.sightings)
    return index, float(member.sightings[index].mesh[:, 0].mean())


def hidden_frames(members: list[Member], tracks: list[FaceTrack]) -> list[set[int]]:
    """For each track the interpolated frames in which somebody else's face is where this one would be.

    That face is in front: to paint a mouth there would paint it on the wrong person.
    """
    hidden: list[set[int]] = [set() for _ in tracks]
    for mine, track in enumerate(tracks):
        for index in np.flatnonzero(track.states == FaceState.INTERPOLATED).tolist():
            meshes = [other.mesh_at(index) for place, other in enumerate(members) if place != mine]
            boxes = np.array([mesh_box(mesh) for mesh in meshes if mesh is not None]).reshape(-1, 4)
            if overlap(track.boxes[index], boxes).max(initial=0) > COVERED:
                hidden[mine].add(index)
    return hidden
