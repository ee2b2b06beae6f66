"""Score several clips with one voice: what stands beside one another is judged by the same sound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from ..errors import LatentSyncError, NoFaceError
from ..faces import FaceNets
from ..media import AudioInfo, VideoInfo, VideoReader, check_voice, probe_audio, probe_video
from ..options import DEFAULT_FACE
from ..pipeline.plan import expected_frames
from ..progress import Callbacks
from .clip_score import ClipScore, score_face
from .score_files import TrackedClip, measured
from .voice import VoiceMouth, voice_mouth


@dataclass(frozen=True, eq=False)
class ComparedClip:
    """One of several clips. seconds: how long it is shown. score: None where no frame shows a face."""

    label: str
    info: VideoInfo
    seconds: Fraction
    score: ClipScore | None


def compare_clips(
    videos: Sequence[Path],
    sound: AudioInfo,
    *,
    labels: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
    nets: FaceNets | None = None,
    callbacks: Callbacks | None = None,
) -> tuple[ComparedClip, ...]:
    """Score every clip with one sound (`shared_sound`); progress in the stages "faces" and "measure", clip by clip.

    labels: names to show, one a clip; the files' own unless given. device: where the face networks are loaded if
    `nets` gives none. Raises LatentSyncError for a file that cannot be read, a clip of less than a second, a sound
    without a voice, another number of labels, and NoFaceError where not one clip shows a face.
    """
    callbacks, device, names = callbacks or Callbacks(), torch.device(device), clip_labels(videos, labels)
    waveform = sound.waveform()
    check_voice(waveform, sound.path)
    voice = voice_mouth(waveform, str(sound.path), callbacks.check_cancelled)
    nets, infos = nets or FaceNets(device), [probe_video(video) for video in videos]
    counts = [expected_frames(info, None) or 0 for info in infos]
    clips = []
    for place, (info, label) in enumerate(zip(infos, names, strict=True)):
        seconds, score = score_video(info, voice, nets, part_of(callbacks, sum(counts[:place]), sum(counts)))
        clips.append(ComparedClip(label, info, seconds, score))
    if all(clip.score is None for clip in clips):
        raise NoFaceError(
            f"None of the {len(clips)} clips shows a face, so there are no lips to compare; "
            "name at least one in which somebody is seen speaking."
        )
    return tuple(clips)


def clip_labels(videos: Sequence[Path], labels: Sequence[str] | None) -> list[str]:
    """The names to show: those given, or the files' own."""
    if labels is not None and len(labels) != len(videos):
        raise LatentSyncError(f"{len(labels)} labels were given for {len(videos)} clips; give one for each, or none.")
    return [video.stem for video in videos] if labels is None else list(labels)


def shared_sound(videos: Sequence[Path], audio: Path | None = None) -> AudioInfo:
    """The one sound of a comparison: `audio`, else that of the first clip that has any, from its first picture on.

    Raises LatentSyncError where there is none, or it cannot be read.
    """
    if audio is not None:
        return probe_audio(audio)
    for video in videos:
        if probe_video(video).has_audio:
            return probe_audio(video, video=video)
    raise LatentSyncError(
        f"None of the {len(videos)} clips has sound to be compared with; name a voice as their audio."
    )


def part_of(callbacks: Callbacks, before: int, total: int) -> Callbacks:
    """Callbacks for one of several clips: `before` frames of `total` belong to the clips before it."""

    def on_progress(stage: str, done: int, _: int) -> None:
        callbacks.on_progress(stage, min(before + done, total), total)

    return replace(callbacks, on_progress=on_progress)


def score_video(
    info: VideoInfo, voice: VoiceMouth, nets: FaceNets, callbacks: Callbacks
) -> tuple[Fraction, ClipScore | None]:
    """How long a clip is shown, and its score; None where no frame shows a face."""
    last = 1 / info.fps  # seconds for which the last frame stays
    try:
        clip = TrackedClip.of(info.path, DEFAULT_FACE, torch.device("cpu"), callbacks, nets)
    except NoFaceError:
        with VideoReader(info.path) as reader:
            return reader.scan_times()[-1] + last, None
    return clip.times[-1] + last, score_face(measured(clip, callbacks), voice)
