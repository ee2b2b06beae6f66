"""Track the main face through a stream of frames."""

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from ...errors import LatentSyncError
from ...progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from ..detect import DEFAULT_THRESHOLD, FaceDetector, Region
from ..face_track import DEFAULT_MAX_GAP, FaceTrack
from ..landmarks import MeshFitter
from ..networks.facemesh import MESH_POINTS
from ..networks.nets import FaceNets
from ..pictures import NO_FRAMES, require_frame
from .mesh_storage import MeshMemory
from .occlusion import LOOK_INTERVAL, lip_shift
from .shot_cuts import Change, ShotChanges
from .single import (
    DEFAULT_PRESENCE,
    TILE_INTERVAL,
    FaceChoice,
    FaceFollower,
    FaceSteps,
    Sighting,
    leaps,
)

LOOK_BACK = TILE_INTERVAL  # frames without a face kept, to find in them the face that the detector finds later

logger = logging.getLogger(__name__)


def track_faces(
    frames: Iterable[np.ndarray],
    *,
    device: torch.device | str = "cpu",
    nets: FaceNets | None = None,
    on_progress: OnProgress | None = None,
    check_cancelled: CheckCancelled | None = None,
    total: int | None = None,
    detection_threshold: float = DEFAULT_THRESHOLD,
    presence_threshold: float = DEFAULT_PRESENCE,
    minimum_size: float = 0.0,
    region: Region | None = None,
    max_gap: int = DEFAULT_MAX_GAP,
) -> FaceTrack:
    """Follow one face, the largest and surest of each shot, through a clip.

    frames: (H, W, 3) uint8 RGB, consumed once, never held beyond a few; total: their number, for on_progress only.
    nets: the networks to use, where they are; by default they are loaded onto `device`.
    detection_threshold, presence_threshold: probabilities asked of the detector and, to confirm it, of the mesh;
    lower ones also take drawn and half-hidden faces. minimum_size (pixels) and region (x0, y0, x1, y1) restrict which
    face may be taken up. max_gap: stretches of up to so many frames without a face are interpolated.
    Raises LatentSyncError for frames of other kinds or changing size, no frames, and no face in the whole clip.
    """
    on_progress, check_cancelled = on_progress or ignore_progress, check_cancelled or never_cancelled
    choice = FaceChoice(region, minimum_size, presence_threshold)
    nets = nets or FaceNets(device)
    detector, fitter = FaceDetector(nets=nets, threshold=detection_threshold), MeshFitter(nets=nets)
    follower = FaceFollower(detector, fitter, choice, max_gap)
    recorder = Recorder(follower)
    for done, frame in enumerate(frames, 1):
        check_cancelled()
        recorder.add(frame)
        on_progress(done, max(done, total or 0))
    return recorder.track(detection_threshold, max_gap)


class Recorder:
    """Feeds frames to a follower shot by shot and writes down what it sees."""

    def __init__(self, follower: FaceFollower):
        self.follower = follower
        self.changes = ShotChanges()
        self.sightings: list[Sighting] = []
        self.memory = MeshMemory()
        self.cuts: list[int] = []
        self.shape: tuple[int, ...] | None = None
        self.steps = FaceSteps()
        self.before_light: tuple | None = None  # the follower's memory before what may be a flash
        self.faceless: deque[np.ndarray] = deque(maxlen=LOOK_BACK)  # the frames just before this one without a face

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame."""
        index = len(self.sightings)
        self.shape = require_frame(frame, index, self.shape)
        change = self.changes.compare(frame)
        if change.returned:
            self._undo_flash(index - change.returned)
        elif change.is_cut:
            if change.may_be_flash:
                self.before_light = self.follower.memory()
            self.cuts.append(index)
            self.faceless.clear()
            self.follower.start_shot()
        before = self.follower.mesh
        sighting = self.follower.follow(frame, maybe_cut=change.is_suspicious)
        if sighting.jumped or self._leapt(before, sighting, change):
            self.cuts.append(index)
            self.faceless.clear()
        if sighting.mesh is not None and index % LOOK_INTERVAL == 0:
            sighting = replace(sighting, lip_shift=lip_shift(self.follower.fitter, frame, sighting.mesh))
        self.sightings.append(self._kept(sighting))
        if sighting.mesh is None:
            self.faceless.append(frame.copy())  # the caller may reuse its buffer
        else:
            self._look_back(sighting.mesh)

    def _leapt(self, before: np.ndarray | None, sighting: Sighting, change: Change) -> bool:
        """Whether the same face continues in a new shot from nearly the same place, as after a punch-in."""
        followed = before is not None and sighting.mesh is not None
        jumps = followed and self.steps.jump(before, sighting.mesh)
        return change.may_jump and followed and (jumps or leaps(before, sighting.mesh))

    def _undo_flash(self, start: int) -> None:
        """Take back the cuts since frame `start`: a flash is over, and the shot from before it goes on."""
        self.cuts = [cut for cut in self.cuts if cut < start]
        self.sightings[start:] = [Sighting(None, s.presence, s.detection) for s in self.sightings[start:]]
        self.faceless.clear()
        self.follower.recall(self.before_light)

    def _look_back(self, mesh: np.ndarray) -> None:
        """Follow a face that was just taken up backwards, into frames in which the detector missed it."""
        for i in range(len(self.sightings) - 2, len(self.sightings) - 2 - len(self.faceless), -1):
            sighting = self.follower.trace_back(self.faceless.pop(), mesh)
            if sighting.mesh is None:
                break
            self.sightings[i] = self._kept(sighting)
            mesh = sighting.mesh
        self.faceless.clear()

    def _kept(self, sighting: Sighting) -> Sighting:
        """The same to be kept to the clip's end."""
        return sighting if sighting.mesh is None else replace(sighting, mesh=self.memory.keep(sighting.mesh))

    def track(self, detection_threshold: float, max_gap: int) -> FaceTrack:
        """The finished track."""
        count = len(self.sightings)
        if count == 0:
            raise LatentSyncError(NO_FRAMES)
        seen = [i for i, sighting in enumerate(self.sightings) if sighting.mesh is not None]
        if not seen:
            raise LatentSyncError(self._no_face(detection_threshold))
        scores = np.array([sighting.presence for sighting in self.sightings])
        shifts = np.array([sighting.lip_shift for sighting in self.sightings])
        mesh = self._meshes()
        track = FaceTrack.from_meshes(mesh, scores, self.cuts, self.shape[:2], max_gap, shifts)
        logger.info("tracked a face over %d frames: %s, cuts at %s", count, track.counts(), list(track.cuts))
        return track

    def _meshes(self) -> np.ndarray:
        """The meshes of all frames (N, 468, 3), which the recorder gives away: kept twice they would be a peak."""
        mesh = np.empty((len(self.sightings), MESH_POINTS, 3), np.float32)
        for i, sighting in enumerate(self.sightings):
            mesh[i] = np.nan if sighting.mesh is None else sighting.mesh
            self.sightings[i] = replace(sighting, mesh=None)
        return mesh

    def _no_face(self, detection_threshold: float) -> str:
        detection = max(sighting.detection for sighting in self.sightings)
        presence = max(sighting.presence for sighting in self.sightings)
        text = (
            f"No face found in frames 0-{len(self.sightings) - 1} (every frame, small faces every "
            f"{TILE_INTERVAL} frames): best detector score {detection:.2f}, needed {detection_threshold:.2f}"
        )
        if presence > 0:
            text += f"; best face-mesh score {presence:.2f}, needed {self.follower.choice.presence:.2f}"
        return text + ". Use a clip with a visible human face, or lower these thresholds."
