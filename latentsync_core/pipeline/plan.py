"""What a run works from, and its plan: which frame shows which face, when, and generated with which others."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..diffusion import Window, plan_windows
from ..errors import LatentSyncError
from ..faces import (
    FaceNets,
    FaceTrack,
    effect_strength,
    parse_face,
    track_selected,
    why_unshown,
    without_gaps,
)
from ..generators.aligned_faces import aligned_faces
from ..generators.face_crops import FaceCrops
from ..generators.segments import Segment, plan_segments
from ..media import (
    AudioInfo,
    Frame,
    VideoInfo,
    VideoReader,
    is_variable,
    probe_audio,
    probe_video,
)
from ..media.read.stream_starts import sound_start
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..settings import Settings
from .timeline import Timeline, plan_timeline
from .voice import Voice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """The two files of a run.

    starts: when pictures and sound begin in either file, and what silence or cut keeps the sound in place; "video" is
    None for one without sound; its "unreadable" says why, where that cannot be decoded and is not asked for.
    """

    video: VideoInfo
    voice: AudioInfo
    starts: dict[str, dict | None]

    @classmethod
    def probe(cls, video: Path | str, voice: Path | str, track: str | None = None) -> "Inputs":
        """Look into both files; track: of the voice's. Raises LatentSyncError for what cannot be read."""
        info, sound = probe_video(video), probe_audio(voice, track, video)
        own = None
        if info.has_audio:
            try:
                own = sound_start(info.path, video=info.path).to_dict()
            except LatentSyncError as error:  # only mixing needs this sound, and refuses it
                own = {"unreadable": str(error)}
        return cls(info, sound, {"video": own, "audio": sound.start.to_dict()})


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
    """What is to be done with every frame, known once the source has been read through.

    settings: with the working resolution. crops: of the source frames. strength: (output frames,) float32 in 0..1, how
    much of the generated mouth each shows.
    """

    inputs: Inputs
    settings: Settings
    tracked: TrackedSource
    timeline: Timeline
    windows: tuple[Window, ...]
    segments: tuple[Segment, ...]
    crops: FaceCrops
    strength: np.ndarray

    @property
    def track(self) -> FaceTrack:
        """The face in every source frame."""
        return self.tracked.track

    @property
    def synced(self) -> np.ndarray:
        """(output frames,) bool: which of them show a generated mouth."""
        generated = np.zeros(len(self.timeline), bool)
        for span in self.windows:
            generated[span.start : span.stop] = True
        return generated & (self.strength > 0)


def track_clip(
    video: VideoInfo,
    voice_seconds: Fraction,
    settings: Settings,
    *,
    device: torch.device,
    nets: FaceNets | None = None,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> TrackedSource:
    """Read the source once, as far as the voice needs it, and follow the face.

    device: where the face networks are loaded if `nets` gives none. Raises LatentSyncError where it cannot be read,
    NoFaceError where it shows no face.
    """
    needed = seconds_needed(voice_seconds, settings)
    complete = True

    def pictures(reader: VideoReader) -> Iterator[Frame]:
        nonlocal complete
        for frame in reader.frames():
            if needed is not None and frame.time >= needed:
                complete = False
                return
            yield frame

    total = expected_frames(video, needed)
    on_progress(0, total or 0)
    with VideoReader(video.path) as reader:
        try:
            track = track_selected(
                pictures(reader),
                parse_face(settings.face),
                device=device,
                nets=nets,
                total=total,
                on_progress=on_progress,
                check_cancelled=check_cancelled,
            )
            times = reader.times[: len(track)]
            track = without_gaps(track, settings.missing, times, times[-1] + 1 / video.fps)
        except LatentSyncError as error:
            raise type(error)(f"{video.path}: {error}") from error
        return TrackedSource(track, times, complete, {"damaged": reader.damaged, "damage": reader.damage})


def seconds_needed(voice_seconds: Fraction, settings: Settings) -> Fraction | None:
    """How far into the source a run reads; None = to its end."""
    return None if settings.length == "video" else voice_seconds


def expected_frames(video: VideoInfo, needed: Fraction | None) -> int | None:
    """How many source frames will be read by the headers, for `needed` seconds of output; None where nothing tells."""
    stated = video.frames or (round(video.duration * video.fps) if video.duration else None)
    wanted = None if needed is None else round(needed * video.fps)
    return min((count for count in (stated, wanted) if count), default=None)


def plan_clip(
    inputs: Inputs,
    tracked: TrackedSource,
    voice: Voice,
    settings: Settings,
    face_crops: Callable[[FaceTrack, Settings], FaceCrops] = aligned_faces,
) -> Plan:
    """Lay out the output, cut it into windows and segments, find the shape of every face.

    settings: with a resolution. face_crops: the generator's.
    """
    video, track = inputs.video, tracked.track
    timeline = plan_timeline(
        tracked.times,
        video.fps,
        voice.seconds,
        length=settings.length,
        extend=settings.extend,
        rate=settings.rate,
        variable=is_variable(tracked.times, video.fps),
        complete=tracked.complete,
    )
    present = [bool(track.present[source]) for source in timeline.source]
    windows = plan_windows(present, timeline.breaks(track.cuts), settings.window, settings.overlap)
    if not windows:
        raise LatentSyncError(f"{video.path}: none of the {len(timeline)} output frames shows a face; nothing to sync.")
    if not effect_strength(track, settings.fade)[list(timeline.source)].any() and settings.blend == "mouth":
        reason = why_unshown(track, settings.fade)
        log.warning("%s: a face is found, but no frame of it can be synced: %s", video.path, reason)
    return Plan(
        inputs,
        settings,
        tracked,
        timeline,
        windows,
        segments=plan_segments(len(timeline), windows),
        crops=face_crops(track, settings),
        strength=plan_strength(track, timeline, voice, settings),
    )


def plan_strength(track: FaceTrack, timeline: Timeline, voice: Voice, settings: Settings) -> np.ndarray:
    """How much of the generated mouth shows in each output frame: (frames,) float32 in 0..1."""
    shown = effect_strength(track, settings.fade) if settings.blend == "mouth" else track.present.astype(np.float32)
    strength = shown[list(timeline.source)]
    return strength * voice.gate(timeline.times) if settings.silence == "keep" else strength
