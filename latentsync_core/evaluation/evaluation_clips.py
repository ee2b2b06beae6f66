"""Exams with a known answer: a head filmed saying one thing is to say another, and how that looks is drawn too.

Voices and words are those that training never hears. The source's own mouth says other words, so that nothing in the
picture gives the answer away. What is marked is the file that `pipeline.lipsync` wrote, seen through the face mesh.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..faces import crop_face, fixed_mask, track_faces
from ..faces.mouth_opening import correlation, mouth_opening
from ..media import EncodeSettings, VideoReader
from ..models.loading import Models
from ..pipeline.lipsync import lipsync
from ..pipeline.settings import Settings
from ..progress import CheckCancelled, never_cancelled
from ..training.synthetic.animate import true_opening
from ..training.synthetic.clips import (
    FPS,
    SyntheticClip,
    draw_frames,
    living_pose,
    write_clip,
)
from ..training.synthetic.portrait import Portrait, load_portrait
from ..training.synthetic.scripts import seeded_speech
from ..training.synthetic.visemes import mouth_motion
from .metrics import (
    best_lag,
    border_energy,
    flicker,
    psnr,
    ssim,
)
from .scores import Marks

SEED = 7  # of the exams, which no training recipe uses
CROP = 128  # pixels of the aligned faces that pictures are compared on


@dataclass(frozen=True, eq=False)
class Exam:
    """source: the clip to be dubbed, its mouth saying other words. answer: the same head saying the exam's voice."""

    name: str
    source: SyntheticClip
    answer: SyntheticClip


def make_exams(count: int, seconds: float = 5.0, seed: int = SEED, size: int = 256) -> list[Exam]:
    """Draw `count` exams; one does not depend on how many there are."""
    portrait = load_portrait()
    return [make_exam(portrait, index, seconds, seed, size) for index in range(count)]


def make_exam(portrait: Portrait, index: int, seconds: float, seed: int, size: int) -> Exam:
    """Exam number `index`."""
    rng = np.random.default_rng([seed, index])
    frames = round(seconds * FPS)
    (asked, voice), (other, other_voice) = (seeded_speech(seconds, rng, held_out=True) for _ in range(2))
    wanted, filmed = (mouth_motion(speech, frames, FPS) for speech in (asked, other))
    filmed_pose = living_pose(filmed, rng)
    # the rest of the head moves alike, so that pictures can be compared
    wanted_pose = replace(
        filmed_pose, **{name: filmed_pose.opening.new_tensor(getattr(wanted, name)) for name in MOUTH}
    )
    clips = []
    for pose, speech, who, motion in ((filmed_pose, other, other_voice, filmed), (wanted_pose, asked, voice, wanted)):
        opening = true_opening(pose).numpy()
        clips.append(SyntheticClip(draw_frames(portrait, pose, size), speech, who, motion, opening))
    return Exam(f"{index}: {voice}", *clips)


MOUTH = ("opening", "width", "rounding")


@dataclass(frozen=True, eq=False)
class Paper:
    """What came of an exam: frames (N, H, W, 3) uint8, opening (N,) as the mesh sees it, first frames of windows."""

    frames: np.ndarray
    opening: np.ndarray
    borders: list[int]


def sit_exam(
    exam: Exam, models: Models, settings: Settings, folder: Path, check_cancelled: CheckCancelled = never_cancelled
) -> Paper:
    """Dub the exam's source with its voice, the whole way from file to file, and look at the result.

    folder: for the files, which stay there. The result is written without loss: the codec is not what is examined.
    """
    stem = exam.name.partition(":")[0]
    video, result = folder / f"exam{stem}.mp4", folder / f"result{stem}.mkv"
    write_clip(replace(exam.source, speech=exam.answer.speech), video)
    lossless = replace(settings, length="video", cache=None, overwrite=True, encode=EncodeSettings("ffv1"))
    lipsync(video, video.with_suffix(".wav"), result, models, lossless, check_cancelled=check_cancelled)
    frames = read_frames(result)
    borders = list(range(settings.window, len(frames), settings.window))
    return Paper(frames, measured_opening(frames), borders)


def read_frames(path: Path) -> np.ndarray:
    """(N, H, W, 3) uint8 of a short clip."""
    with VideoReader(path) as reader:
        return np.stack([frame.rgb().copy() for frame in reader.frames()])


def measured_opening(frames: np.ndarray) -> np.ndarray:
    """(N,) opening of the mouth as the face mesh finds it in the pixels."""
    return mouth_opening(track_faces(iter(frames)).mesh)


def mark(exam: Exam, paper: Paper, other_truths: Sequence[np.ndarray] = ()) -> Marks:
    """Compare a paper with the answer. other_truths: openings of other voices, which it should not follow."""
    frames = min(len(paper.frames), len(exam.answer.frames))
    truth, found = exam.answer.opening[:frames], paper.opening[:frames]
    strangers = [correlation(found[: len(other)], other[:frames]) for other in other_truths]
    shown, wanted = lower_faces(exam.answer.frames[:frames], paper.frames[:frames], exam.answer.frames[:frames])
    return Marks(
        correlation=correlation(found, truth),
        lag=best_lag(found, truth),
        shuffled=float(np.nanmean(strangers)) if strangers else float("nan"),
        psnr=psnr(shown, wanted),
        ssim=ssim(shown, wanted),
        flicker=flicker(shown) / flicker(wanted),
        border_energy=border_energy(shown, paper.borders) / border_energy(wanted, paper.borders),
        opening_range=float(np.nanstd(found) / np.std(truth)),
    )


def lower_faces(guide: np.ndarray, *clips: np.ndarray) -> list[np.ndarray]:
    """The part of the face that is regenerated, cut from every clip where it lies in `guide`: (N, h, w, 3) each."""
    rows, columns = np.nonzero(fixed_mask(CROP).numpy() < 0.5)
    box = slice(None), slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    return [faces[box] for faces in aligned_faces(guide, *clips)]


def aligned_faces(guide: np.ndarray, *clips: np.ndarray) -> list[np.ndarray]:
    """The face crops of every clip, taken where the face lies in `guide`: (N, CROP, CROP, 3) uint8 each."""
    matrices = track_faces(iter(guide)).matrices(CROP, "smooth")
    return [
        np.stack([crop_face(frame, matrix, CROP, True) for frame, matrix in zip(clip, matrices, strict=True)])
        for clip in clips
    ]
