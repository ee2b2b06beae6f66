"""Track the main face through a stream of frames."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...errors import NoFaceError
from ...progress import CheckCancelled, OnProgress
from ..face_track import FaceTrack
from ..networks.nets import FaceNets
from ..pictures import Picture
from .main_face import MainFaceSearch
from .search import TILE_INTERVAL, TrackingSettings
from .tracker import Tracker, feed

logger = logging.getLogger(__name__)


def track_faces(
    frames: Iterable[Picture],
    *,
    settings: TrackingSettings | None = None,
    device: torch.device | str = "cpu",
    nets: FaceNets | None = None,
    on_progress: OnProgress | None = None,
    check_cancelled: CheckCancelled | None = None,
    total: int | None = None,
    **thresholds: Any,
) -> FaceTrack:
    """Follow one face, the largest and surest of each shot, through a clip.

    While the face is followed nobody else is searched for (main_face.py says when newcomers are). All arguments but the
    frames are optional and given by name.

    Args:
        frames: (H, W, 3) uint8 RGB, or media.Frame as a reader gives them, of which only the parts that are
            looked at become RGB; consumed once; a few are held at a time.
        settings: which faces may be tracked.
        device: where the networks are loaded if `nets` is None.
        nets: networks that are loaded already.
        on_progress, check_cancelled: called for each frame.
        total: the number of frames, for on_progress only.
        thresholds: single fields of `settings` by name, as detection_threshold=0.3, which take precedence.
    Raises LatentSyncError for frames of other kinds or changing size and for no frames, NoFaceError for no face in the
    whole clip.
    """
    settings = replace(settings or TrackingSettings(), **thresholds)
    tracker = Tracker(MainFaceSearch(nets or FaceNets(device), settings))
    feed(frames, [tracker], on_progress=on_progress, check_cancelled=check_cancelled, total=total)
    return main_track(tracker)


def main_track(tracker: Tracker[MainFaceSearch]) -> FaceTrack:
    """The track of a tracker that searched for the main face, whose own meshes are released.

    Raises LatentSyncError for no frames, NoFaceError for no face.
    """
    tracker.require_frames()
    search = tracker.search
    if not any(face.sightings for face in tracker.faces):
        raise NoFaceError(no_face(tracker))
    (face,) = tracker.faces
    scores = np.array(search.presences)
    track = tracker.track(face, search.settings.max_gap, scores=scores, release=True)
    logger.info("tracked a face over %d frames: %s, cuts at %s", tracker.count, track.counts(), list(track.cuts))
    return track


def no_face(tracker: Tracker[MainFaceSearch]) -> str:
    """The error message where no frame showed a face."""
    search = tracker.search
    text = (
        f"No face found in frames 0-{tracker.count - 1} (every frame, small faces every "
        f"{TILE_INTERVAL} frames): best detector score {search.best_detection:.2f}, needed "
        f"{search.settings.detection_threshold:.2f}"
    )
    if (presence := max(search.presences)) > 0:
        text += f"; best face-mesh score {presence:.2f}, needed {search.settings.presence_threshold:.2f}"
    return text + ". Use a clip with a visible human face, or lower these thresholds."
