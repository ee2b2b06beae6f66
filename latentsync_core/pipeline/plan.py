"""What a run works from, and its plan: which frame shows which face, when, and generated with which others."""

import logging
from collections.abc import Iterator
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
    mouth_masks,
    parse_face,
    track_selected,
    why_unshown,
    without_gaps,
)
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
from .composite import Blend
from .encode import Alignment
from .segments import Segment, plan_segments
from .settings import Settings
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

    settings: with the working resolution. alignment: by source frame. blend: by output frame.
    """

    inputs: Inputs
    settings: Settings
    tracked: TrackedSource
    timeline: Timeline
    windows: tuple[Window, ...]
    segments: tuple[Segment, ...]
    alignment: Alignment
    blend: Blend

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
        return generated & (self.blend.strength > 0)


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


def plan_clip(inputs: Inputs, tracked: TrackedSource, voice: Voice, settings: Settings) -> Plan:
    """Lay out the output, cut it into windows and segments, align every face; settings: with a resolution."""
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
    blend = plan_blend(track, timeline, voice, settings)
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
        alignment=Alignment(
            track.matrices(settings.resolution, settings.alignment), settings.resolution, settings.antialias
        ),
        blend=blend,
    )


def plan_blend(track: FaceTrack, timeline: Timeline, voice: Voice, settings: Settings) -> Blend:
    """What is pasted of every generated face, and how much of it shows in each output frame."""
    shown = effect_strength(track, settings.fade) if settings.blend == "mouth" else track.present.astype(np.float32)
    strength = shown[list(timeline.source)]
    if settings.silence == "keep":
        strength = strength * voice.gate(timeline.times)
    masks = mouth_masks(track, settings.resolution, settings.seam)
    return Blend(masks, blend=settings.blend, antialias=settings.antialias, strength=strength)
