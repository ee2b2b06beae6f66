"""Score a video file, with its own sound or another, and beside the source it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ..errors import LatentSyncError
from ..faces import FaceNets, FaceTrack, crop_size, fixed_mask
from ..generators.aligned_faces import Alignment
from ..media import Frame, VideoReader, check_voice, probe_audio, probe_video
from ..options import DEFAULT_FACE
from ..pipeline.plan import track_clip
from ..pipeline.settings import Settings
from ..progress import Callbacks
from .against_source import SourceComparison, SourceScore
from .clip_score import ClipScore, score_face
from .measured_face import MeasuredFace
from .picture import CROP
from .voice import VoiceMouth, voice_mouth

LEAST_SECONDS = 1.0  # of a clip; less tells nothing about its lips
OUTSIDE_EVERY = 5  # frames: whole pictures are compared now and then, faces in each
TIME_TOLERANCE = 1e-4  # seconds by which the clocks of two containers may round
MASK_MARGIN = 0.12  # of the crop's side, around the redrawn region: what a soft edge may touch


@dataclass(frozen=True)
class ScoreInputs:
    """What is scored: video; audio, its own sound if None; source it was made from, if known; whose face."""

    video: Path
    audio: Path | None = None
    audio_track: str | None = None
    source: Path | None = None
    face: str = DEFAULT_FACE


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """A clip with one face followed through it, and how that is cut out to be measured."""

    path: Path
    track: FaceTrack
    times: tuple[Fraction, ...]
    alignment: Alignment

    @classmethod
    def of(
        cls,
        video: Path,
        face: str,
        device: torch.device,
        callbacks: Callbacks,
        nets: FaceNets | None = None,
    ) -> "TrackedClip":
        """Follow `face` through a video. Raises LatentSyncError where it is too short, NoFaceError where it shows none.

        device: where the face networks are loaded if `nets` gives none.
        """
        tracked = track_clip(
            probe_video(video),
            Fraction(0),
            Settings(length="video", face=face),
            device=device,
            nets=nets,
            on_progress=callbacks.progress("faces"),
            check_cancelled=callbacks.check_cancelled,
        )
        track, times = tracked.track, tracked.times
        seconds = float(times[-1] - times[0]) * len(times) / max(len(times) - 1, 1)
        if seconds < LEAST_SECONDS:
            raise LatentSyncError(
                f"{video} lasts {seconds:.2f} s ({len(times)} frames); at least {LEAST_SECONDS:g} s is needed to tell "
                "whether lips and voice agree."
            )
        return cls(video, track, times, Alignment(track.matrices(CROP, "smooth"), CROP, antialias=True))

    def __len__(self) -> int:
        return len(self.times)

    def measure(self, frame: Frame, face: MeasuredFace) -> np.ndarray | None:
        """Add the next frame to `face`; returns its aligned face (CROP, CROP, 3) uint8, None where there is none."""
        if frame.index in self.track.cuts:
            face.new_shot()
        crop = self.alignment.crop(frame) if self.track.present[frame.index] else None
        face.add(float(frame.time), crop, self.track.mesh[frame.index])
        return crop


@dataclass(frozen=True, eq=False)
class ScoredClip:
    """A score, with the clip, its measured face and the sound, (samples,) float32 at 16 kHz, for further judges."""

    score: ClipScore
    clip: TrackedClip
    face: MeasuredFace
    waveform: np.ndarray


def score_files(
    inputs: ScoreInputs,
    *,
    device: torch.device | str = "cpu",
    nets: FaceNets | None = None,
    borders: Sequence[int] | None = None,
    callbacks: Callbacks | None = None,
) -> ScoredClip:
    """Score a clip; progress in the stages "faces" (frames tracked) and "measure" (frames measured).

    device: where the face networks are loaded if `nets` gives none.
    borders: first frames of the windows it was generated in; every 16th if not given.
    Raises LatentSyncError for files that cannot be read, a clip of less than a second, no face, and no voice.
    """
    callbacks, device = callbacks or Callbacks(), torch.device(device)
    voice, waveform = read_voice(inputs, callbacks)
    clip = TrackedClip.of(inputs.video, inputs.face, device, callbacks, nets)
    if inputs.source is None:
        face = measured(clip, callbacks)
        return ScoredClip(score_face(face, voice, borders), clip, face, waveform)
    source = TrackedClip.of(inputs.source, inputs.face, device, callbacks, nets)
    face, beside = compared(clip, source, callbacks)
    return ScoredClip(replace(score_face(face, voice, borders), source=beside), clip, face, waveform)


def read_voice(inputs: ScoreInputs, callbacks: Callbacks) -> tuple[VoiceMouth, np.ndarray]:
    """The mouth that the clip's sound asks for, and the sound: (samples,) float32 at 16 kHz."""
    if inputs.audio is None and not probe_video(inputs.video).has_audio:
        raise LatentSyncError(f"{inputs.video} has no sound to be compared with; name the voice with --audio.")
    path = inputs.audio or inputs.video
    waveform = probe_audio(path, inputs.audio_track, inputs.video).waveform()
    check_voice(waveform, path)
    return voice_mouth(waveform, str(path), callbacks.check_cancelled), waveform


def measured(clip: TrackedClip, callbacks: Callbacks) -> MeasuredFace:
    """Measure the face in every frame of a clip."""
    face = MeasuredFace()
    with VideoReader(clip.path) as reader:
        for frame in reader.frames(0, len(clip)):
            callbacks.check_cancelled()
            clip.measure(frame, face)
            callbacks.on_progress("measure", frame.index + 1, len(clip))
    return face


def compared(clip: TrackedClip, source: TrackedClip, callbacks: Callbacks) -> tuple[MeasuredFace, SourceScore]:
    """Measure a clip beside its source, frame by frame, paired by the time at which they are shown."""
    face, comparison = MeasuredFace(), SourceComparison()
    with VideoReader(clip.path) as reader, VideoReader(source.path) as source_reader:
        check_same_size(reader, source_reader)
        sources = source_reader.frames_at(paired(clip.times, source.times))
        for frame in reader.frames(0, len(clip)):
            callbacks.check_cancelled()
            crop = clip.measure(frame, face)
            if frame.time <= source.times[-1]:
                compare_pair(comparison, frame, crop, next(sources), source)
            callbacks.on_progress("measure", frame.index + 1, len(clip))
    return face, comparison.score(face)


def paired(times: Sequence[Fraction], source_times: Sequence[Fraction]) -> list[int]:
    """The source frame on screen at each of `times`, as far as the source lasts."""
    instants = np.array([float(time) for time in times if time <= source_times[-1]])
    starts = np.array([float(time) for time in source_times])
    return (np.searchsorted(starts, instants + TIME_TOLERANCE, side="right") - 1).tolist()


def compare_pair(
    comparison: SourceComparison, frame: Frame, crop: np.ndarray | None, source_frame: Frame, source: TrackedClip
) -> None:
    """Add one pair of frames. crop: the result's own aligned face, None where it shows none."""
    source_crop = source.measure(source_frame, comparison.source)
    if crop is None or source_crop is None:
        return
    matrix = source.alignment.matrices[source_frame.index]
    comparison.add_faces(source.alignment.crop(replace(frame, index=source_frame.index)), source_crop)
    if frame.index % OUTSIDE_EVERY == 0:
        comparison.add_pictures(frame.rgb(), source_frame.rgb(), redrawn_box(matrix))


def redrawn_box(matrix: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, right, bottom in the frame of what a mouth's mask with its soft edge may touch. matrix: (2, 3)."""
    rows, columns = np.nonzero(fixed_mask(CROP).numpy() < 0.5)
    margin = MASK_MARGIN * CROP
    x0, x1, y0, y1 = columns.min() - margin, columns.max() + margin, rows.min() - margin, rows.max() + margin
    width, height = crop_size(CROP)  # a matrix leads to the crop before it is resized to a square
    corners = np.array([[x0, x1, x0, x1], [y0, y0, y1, y1], [1, 1, 1, 1]]) * [[width / CROP], [height / CROP], [1]]
    reached = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2] @ corners
    (left, top), (right, bottom) = np.floor(reached.min(axis=1)), np.ceil(reached.max(axis=1)) + 1
    return int(left), int(top), int(right), int(bottom)


def check_same_size(reader: VideoReader, source: VideoReader) -> None:
    """Raise LatentSyncError where two clips are not of one size."""
    sizes = [(video.info.width, video.info.height) for video in (reader, source)]
    if sizes[0] != sizes[1]:
        (width, height), (source_width, source_height) = sizes
        raise LatentSyncError(
            f"{reader.info.path} is {width} x {height}, its source {source_width} x {source_height}; they can be "
            "compared only where both are of one size."
        )
