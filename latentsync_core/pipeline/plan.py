"""What a run works from, and its plan: which frame shows which face, when, and generated with which others."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..diffusion import Window, plan_windows
from ..errors import LatentSyncError
from ..faces import (
    FaceState,
    FaceTrack,
    MouthMasks,
    effect_strength,
    mouth_masks,
    parse_face,
    track_selected,
    why_unshown,
    without_gaps,
)
from ..media import (
    AudioInfo,
    VideoInfo,
    VideoReader,
    is_variable,
)
from ..models.loading import Models
from ..progress import CheckCancelled, OnProgress
from .composite import OnFrame
from .report import plain
from .settings import Settings
from .timeline import Timeline, plan_timeline
from .voice import Voice

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One run's inputs and watchers, passed from stage to stage."""

    video: Path
    info: VideoInfo
    voice: AudioInfo
    models: Models
    settings: Settings
    resolution: int
    on_progress: OnProgress
    check_cancelled: CheckCancelled
    on_frame: OnFrame


@dataclass(frozen=True)
class TrackedSource:
    """What one pass over the source tells: the face in every frame, and when each is shown.

    times: seconds after the first frame. complete: False where reading stopped before the source's end, as no more was
    needed. damage: what did not decode, for the report.
    """

    track: FaceTrack
    times: tuple[Fraction, ...]
    complete: bool
    damage: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is to be done with every frame, known once the source has been read through."""

    track: FaceTrack
    timeline: Timeline
    windows: tuple[Window, ...]
    matrices: np.ndarray  # (source frames, 2, 3), NaN where there is no face
    strength: np.ndarray  # (output frames,) in 0..1, the share of the generated mouth that is shown
    masks: MouthMasks  # what of each generated face goes where

    @property
    def synced(self) -> np.ndarray:
        """(output frames,) bool: which of them show a generated mouth."""
        generated = np.zeros(len(self.timeline), bool)
        for span in self.windows:
            generated[span.start : span.stop] = True
        return generated & (self.strength > 0)


def track_clip(run: Run, heard: Voice) -> TrackedSource:
    """Read the source once, as far as the voice needs it, and follow the face."""
    settings, info = run.settings, run.info
    needed = None if settings.length == "video" else heard.seconds
    complete = True

    def pictures(reader: VideoReader) -> Iterator[np.ndarray]:
        nonlocal complete
        for frame in reader.frames():
            if needed is not None and frame.time >= needed:
                complete = False
                return
            yield frame.rgb()

    stated = info.frames or (round(info.duration * info.fps) if info.duration else None)
    wanted = None if needed is None else round(needed * info.fps)
    with VideoReader(run.video) as reader:
        try:
            track = track_selected(
                pictures(reader),
                parse_face(settings.face),
                device=run.models.device,
                total=min((count for count in (stated, wanted) if count), default=None),
                on_progress=run.on_progress,
                check_cancelled=run.check_cancelled,
            )
            times = reader.times[: len(track)]
            track = without_gaps(track, settings.missing, times, times[-1] + 1 / info.fps)
        except LatentSyncError as error:
            raise LatentSyncError(f"{run.video}: {error}") from error
        damage = plain({"damaged": reader.damaged, "damage": reader.damage})
        return TrackedSource(track, times, complete, damage)


def plan_clip(run: Run, tracked: TrackedSource, heard: Voice) -> Plan:
    """Lay out the output, cut it into windows, align every face."""
    settings, info, track = run.settings, run.info, tracked.track
    timeline = plan_timeline(
        tracked.times,
        info.fps,
        heard.seconds,
        length=settings.length,
        extend=settings.extend,
        rate=settings.rate,
        variable=is_variable(tracked.times, info.fps),
        complete=tracked.complete,
    )
    present = [bool(track.present[source]) for source in timeline.source]
    windows = plan_windows(present, timeline.breaks(track.cuts), settings.window, settings.overlap)
    if not windows:
        raise LatentSyncError(f"{run.video}: none of the {len(timeline)} output frames shows a face; nothing to sync.")
    matrices = track.matrices(run.resolution, settings.alignment)
    shown = effect_strength(track, settings.fade) if settings.blend == "mouth" else track.present.astype(np.float32)
    strength = shown[list(timeline.source)]
    if settings.silence == "keep":
        strength = strength * heard.gate(timeline.times)
    if not shown[list(timeline.source)].any():
        reason = why_unshown(track, settings.fade)
        log.warning("%s: a face is found, but no frame of it can be synced: %s", run.video, reason)
    masks = mouth_masks(track, run.resolution, settings.seam)
    return Plan(track, timeline, windows, matrices, strength, masks)


def state_runs(states: np.ndarray) -> list[dict]:
    """A face state for every frame, run by run: {"first", "last", "state"}."""
    edges = [0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), len(states)]
    return [
        {"first": first, "last": stop - 1, "state": FaceState(states[first]).name.lower()}
        for first, stop in zip(edges, edges[1:], strict=False)
    ]
