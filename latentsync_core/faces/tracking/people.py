"""Everybody in a clip, numbered in the order in which they first appear."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...progress import CheckCancelled, OnProgress
from ..detect import overlap
from ..face_track import FaceState, FaceTrack
from ..landmarks import mesh_box
from ..networks.nets import FaceNets
from ..pictures import Picture
from .everybody import EverybodySearch
from .search import TrackingSettings
from .tracked_face import TrackedFace
from .tracker import Tracker, feed

FEWEST_FRAMES = 5  # seen in fewer frames of a clip of twice as many, it counts as a false detection
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
    frames: Iterable[Picture],
    *,
    settings: TrackingSettings | None = None,
    device: torch.device | str = "cpu",
    nets: FaceNets | None = None,
    on_progress: OnProgress | None = None,
    check_cancelled: CheckCancelled | None = None,
    total: int | None = None,
    **thresholds: Any,
) -> People:
    """Follow everybody through a clip.

    Who crosses another, is hidden for a while or leaves and comes back within a shot keeps the number; across a cut,
    who looks much the same as before (appearance.py).

    Args:
        frames, settings, device, nets, on_progress, check_cancelled, total, thresholds: as of track_faces.
    Raises LatentSyncError for frames of other kinds and no frames; a clip without a face gives no persons.
    """
    settings = replace(settings or TrackingSettings(), **thresholds)
    tracker = Tracker(EverybodySearch(nets or FaceNets(device), settings))
    feed(frames, [tracker], on_progress=on_progress, check_cancelled=check_cancelled, total=total)
    return people_of(tracker)


def people_of(tracker: Tracker[EverybodySearch]) -> People:
    """Everybody whom a tracker that looked for everybody saw, with numbers."""
    tracker.require_frames()
    max_gap = tracker.search.settings.max_gap
    enough = min(FEWEST_FRAMES, (tracker.count + 1) // 2)
    faces = sorted((face for face in tracker.faces if len(face.sightings) >= enough), key=first_appearance)
    hidden = hidden_frames(faces, [tracker.track(face, max_gap) for face in faces])
    tracks = [tracker.track(face, max_gap, hidden=frames) for face, frames in zip(faces, hidden, strict=True)]
    persons = tuple(Person(number, track) for number, track in enumerate(tracks, 1))
    height, width = tracker.shape[:2]
    return People(
        persons=persons,
        cuts=tuple(tracker.cuts),
        count=tracker.count,
        height=height,
        width=width,
        best_detection=tracker.search.best_detection,
    )


def first_appearance(face: TrackedFace) -> tuple[int, float]:
    """The first frame, and the place from left to right in it."""
    index = min(face.sightings)
    return index, float(face.sightings[index].mesh[:, 0].mean())


def hidden_frames(faces: list[TrackedFace], tracks: list[FaceTrack]) -> list[set[int]]:
    """For each track the interpolated frames in which somebody else's face is where this one would be.

    That face is in front: a mouth pasted there would be on the wrong person.
    """
    hidden: list[set[int]] = [set() for _ in tracks]
    for mine, track in enumerate(tracks):
        for index in np.flatnonzero(track.states == FaceState.INTERPOLATED).tolist():
            meshes = [other.mesh_at(index) for place, other in enumerate(faces) if place != mine]
            boxes = np.array([mesh_box(mesh) for mesh in meshes if mesh is not None]).reshape(-1, 4)
            if overlap(track.boxes[index], boxes).max(initial=0) > COVERED:
                hidden[mine].add(index)
    return hidden
