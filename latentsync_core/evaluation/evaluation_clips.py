"""Evaluation clips with ground truth: a rendered head that says one thing is dubbed with a voice that says another.

Voices and words are held out from training. The source's own mouth says other words, so that its frames do not show the
expected mouth. The metrics are taken on the file that `pipeline.lipsync` writes, by the face mesh.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..audio.espeak import Speech
from ..faces import crop_face, fixed_mask, track_faces
from ..faces.mouth_opening import correlation, mouth_opening
from ..generators.generator import Generator
from ..media import EncodeSettings, VideoReader
from ..models.loading import Models
from ..pipeline.lipsync import lipsync
from ..pipeline.settings import Settings
from ..progress import Callbacks, CheckCancelled, never_cancelled
from ..scoring.lag import frames_late
from ..scoring.picture import border_energy, flicker, psnr, ssim
from ..training.synthetic.animate import true_opening
from ..training.synthetic.clips import (
    FPS,
    SyntheticClip,
    draw_frames,
    random_pose,
    write_clip,
)
from ..training.synthetic.portrait import Portrait, load_portrait
from ..training.synthetic.scripts import seeded_speech
from ..training.synthetic.visemes import mouth_motion
from .scores import Scores

SEED = 7  # of the evaluation clips, which no training recipe uses
MAX_LAG = 6  # frames, in either direction
CROP = 128  # pixels of the aligned faces on which images are compared
MOUTH = ("opening", "width", "rounding")  # parameters of a pose


@dataclass(frozen=True, eq=False)
class EvaluationClip:
    """source: the clip to dub, whose mouth says other words. ground_truth: the same head, speaking the voice."""

    name: str
    source: SyntheticClip
    ground_truth: SyntheticClip


def make_evaluation_clips(count: int, seconds: float = 5.0, seed: int = SEED, size: int = 256) -> list[EvaluationClip]:
    """Render `count` evaluation clips; a clip does not depend on how many there are."""
    portrait = load_portrait()
    return [make_evaluation_clip(portrait, index, seconds, seed, size) for index in range(count)]


def make_evaluation_clip(portrait: Portrait, index: int, seconds: float, seed: int, size: int) -> EvaluationClip:
    """Evaluation clip number `index`.

    Args:
        portrait: the head.
        index: of the clip; with `seed` it determines everything.
        seconds: length.
        seed: of all evaluation clips.
        size: pixels, both sides.
    """
    rng = np.random.default_rng([seed, index])
    (speech, voice), (other, other_voice) = (seeded_speech(seconds, rng, held_out=True) for _ in range(2))
    spoken = SpokenBy(speech, voice)
    return render_pair(portrait, f"{index}: {voice}", spoken, SpokenBy(other, other_voice), rng, size)


class SpokenBy(NamedTuple):
    """A speech and the name of its voice."""

    speech: Speech
    voice: str


def render_pair(
    portrait: Portrait, name: str, spoken: SpokenBy, other: SpokenBy, rng: np.random.Generator, size: int
) -> EvaluationClip:
    """Render one head twice, as long as `spoken` lasts: its mouth says `spoken`, the truth, and `other`, the source.

    Args:
        portrait: the head.
        name: of the clip; what precedes a colon names its files.
        spoken: what the clip is to be dubbed with.
        other: what the source's mouth says.
        rng: decides how the head moves.
        size: pixels, both sides.
    """
    frames = round(spoken.speech.duration * FPS)
    motion, source_motion = (mouth_motion(speech, frames, FPS) for speech, _ in (spoken, other))
    source_pose = random_pose(source_motion, rng)
    # the rest of the head moves identically, so that frames can be compared
    pose = replace(source_pose, **{name: source_pose.opening.new_tensor(getattr(motion, name)) for name in MOUTH})
    source = SyntheticClip(
        draw_frames(portrait, source_pose, size), *other, source_motion, true_opening(source_pose).numpy()
    )
    truth = SyntheticClip(draw_frames(portrait, pose, size), *spoken, motion, true_opening(pose).numpy())
    return EvaluationClip(name=name, source=source, ground_truth=truth)


@dataclass(frozen=True, eq=False)
class DubbedClip:
    """A dubbed clip: frames (N, H, W, 3) uint8, opening (N,) by the face mesh, borders: first frames of windows.

    sampling_seconds: how long denoising took.
    """

    frames: np.ndarray
    opening: np.ndarray
    borders: list[int]
    sampling_seconds: float = 0.0


def evaluate_clip(
    clip: EvaluationClip,
    models: Models | Generator,
    settings: Settings,
    folder: Path,
    check_cancelled: CheckCancelled = never_cancelled,
) -> DubbedClip:
    """Dub the clip's source with its voice, from file to file, and read the result.

    Args:
        clip: source and voice.
        models: LatentSync's networks, or any generator.
        settings: of the pipeline; length, cache and codec are replaced.
        folder: for the files, which stay there.
        check_cancelled: as in `lipsync`.

    The result is written losslessly, since the codec is not evaluated.
    """
    stem = clip.name.partition(":")[0]
    video, result = folder / f"exam{stem}.mp4", folder / f"result{stem}.mkv"
    write_clip(replace(clip.source, speech=clip.ground_truth.speech), video)
    lossless = replace(settings, length="video", cache=None, overwrite=True, encode=EncodeSettings("ffv1"))
    callbacks = Callbacks(check_cancelled=check_cancelled)
    report = lipsync(video, video.with_suffix(".wav"), result, models, lossless, callbacks)
    frames = read_frames(result)
    borders = list(range(settings.window, len(frames), settings.window))
    return DubbedClip(frames, measured_opening(frames), borders, report.stages["sample"])


def read_frames(path: Path) -> np.ndarray:
    """(N, H, W, 3) uint8 of a short clip."""
    with VideoReader(path) as reader:
        return np.stack([frame.rgb().copy() for frame in reader.frames()])


def measured_opening(frames: np.ndarray) -> np.ndarray:
    """(N,) opening of the mouth, measured by the face mesh."""
    return mouth_opening(track_faces(iter(frames)).mesh)


def score_clip(clip: EvaluationClip, dubbed: DubbedClip, other_truths: Sequence[np.ndarray] = ()) -> Scores:
    """Compare a dubbed clip with the ground truth. other_truths: openings for other voices, as a control."""
    frames = min(len(dubbed.frames), len(clip.ground_truth.frames))
    truth, found = clip.ground_truth.opening[:frames], dubbed.opening[:frames]
    others = [correlation(found[: len(other)], other[:frames]) for other in other_truths]
    truth_frames = clip.ground_truth.frames[:frames]
    shown, wanted = lower_faces(truth_frames, dubbed.frames[:frames], truth_frames)
    return Scores(
        correlation=correlation(found, truth),
        lag=frames_late(found, truth, MAX_LAG),
        shuffled=float(np.nanmean(others)) if others else float("nan"),
        psnr=psnr(shown, wanted),
        ssim=float(np.mean([ssim(face, true) for face, true in zip(shown, wanted, strict=True)])),
        flicker=flicker(shown) / flicker(wanted),
        border_energy=border_energy(shown, dubbed.borders) / border_energy(wanted, dubbed.borders),
        opening_range=float(np.nanstd(found) / np.std(truth)),
    )


def other_openings(clips: Sequence[EvaluationClip], clip: EvaluationClip) -> list[np.ndarray]:
    """The true mouth openings of all other clips: a control for the correlation of `clip`."""
    return [other.ground_truth.opening for other in clips if other is not clip]


def lower_faces(reference: np.ndarray, *clips: np.ndarray) -> list[np.ndarray]:
    """The part of the face that is regenerated, cropped from every clip as in `reference`: (N, h, w, 3) each."""
    rows, columns = np.nonzero(fixed_mask(CROP).numpy() < 0.5)
    box = slice(None), slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    return [faces[box] for faces in aligned_faces(reference, *clips)]


def aligned_faces(reference: np.ndarray, *clips: np.ndarray) -> list[np.ndarray]:
    """The face crops of every clip, aligned by the face in `reference`: (N, CROP, CROP, 3) uint8 each."""
    matrices = track_faces(iter(reference)).matrices(CROP, "smooth")
    return [
        np.stack([crop_face(frame, matrix, CROP, True) for frame, matrix in zip(clip, matrices, strict=True)])
        for clip in clips
    ]
