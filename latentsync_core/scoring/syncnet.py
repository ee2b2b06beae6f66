"""Sync-C, Sync-D and offset of a clip, by SyncNet v2 on the faces of everybody in it (REFERENCE section 1).

Each track of at least 50 frames at 25 per second is scored by itself with the sound of its own time; the clip's score
is the mean over its tracks, as in LatentSync's evaluation. Pictures are read one by one; what is kept is the sound, and
of every frame of a track two embeddings (8 KB with the published network).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ..errors import LatentSyncError
from ..faces import FaceNets, People, track_people
from ..media import VideoReader, check_voice, read_waveform
from ..models.syncnet import SyncNetV2
from ..models.syncnet.sync_net_v2 import FRAMES, MFCC_STEPS
from ..progress import Callbacks
from .mfcc import SAMPLE_RATE_HZ, STEPS_PER_SECOND, mfcc
from .sync_confidence import confidence_of, frame_confidences, shift_curve, shift_distances
from .syncnet_crops import EVALUATION_FPS, FEWEST_FRAMES, EvaluationPlan, evaluation_crop, plan_evaluation

SAMPLES_PER_FRAME = int(SAMPLE_RATE_HZ / EVALUATION_FPS)
STEPS_PER_FRAME = int(STEPS_PER_SECOND / EVALUATION_FPS)
UNUSED_FRAMES = 5  # a track of n frames has n - 5 windows: as published, one less than would fit
BATCH_WINDOWS = 20  # embedded at once
FULL_SCALE = 32768  # of 16-bit samples


@dataclass(frozen=True, eq=False)
class TrackScore:
    """One face for some time. person: from 1. first, frames: its first frame and their number, at 25 per second.

    sync_c, sync_d, offset_frames: as SyncConfidence. curve: (31,) mean distances by shift of the voice, -15 .. 15
    frames. confidences: (frames - 5,) by window, where it is in sync and where not.
    """

    person: int
    first: int
    frames: int
    sync_c: float
    sync_d: float
    offset_frames: int
    curve: np.ndarray
    confidences: np.ndarray


@dataclass(frozen=True, eq=False)
class SyncScore:
    """How well the lips of a clip follow its voice: means over its tracks; crop: the rule they were cut by.

    sync_c: confidence, more is better. sync_d: distance, less is better. offset_frames: at 25 per second, > 0 where the
    sound comes too early, < 0 where it comes too late.
    """

    sync_c: float
    sync_d: float
    offset_frames: float
    tracks: tuple[TrackScore, ...]
    crop: str


def score_tracks(
    video: Path | str,
    audio: Path | str | np.ndarray | None,
    network: SyncNetV2,
    *,
    crop: str = "mesh",
    callbacks: Callbacks | None = None,
    nets: FaceNets | None = None,
) -> SyncScore:
    """Score a video file with its own sound or another.

    Args:
        video: a clip of any rate and length; it is read twice, once to find the faces.
        audio: a file, (samples,) int16 at 16 kHz from the first picture on, or None for the video's own sound.
        network: computes on the device it is on.
        crop: "mesh" or "s3fd", see syncnet_crops.
        callbacks: progress in the stages "track" and "score".
        nets: face networks that are loaded already.

    Raises LatentSyncError where nobody is in sight, where no track or no sound is long enough, and as the readers do.
    """
    callbacks = callbacks or Callbacks()
    pcm = audio if isinstance(audio, np.ndarray) else voice_samples(video, audio)
    with VideoReader(video) as reader:
        people = track_people(
            (frame.rgb() for frame in reader.frames()),
            nets=nets,
            on_progress=callbacks.progress("track"),
            check_cancelled=callbacks.check_cancelled,
            total=reader.info.frames,
        )
        require_faces(people, video)
        plan = plan_evaluation([p.track for p in people.persons], reader.times, reader.info.fps, crop)
        pictures = (frame.rgb() for frame in reader.frames_at(plan.sources))
        return score_known_tracks(pictures, plan, pcm, network, callbacks)


def voice_samples(video: Path | str, audio: Path | str | None = None) -> np.ndarray:
    """The voice that belongs to a video, (samples,) int16 at 16 kHz mono from its first picture on.

    Raises LatentSyncError for a silent one and as read_waveform does.
    """
    source = video if audio is None else audio
    waveform = read_waveform(source, SAMPLE_RATE_HZ, video=video)
    check_voice(waveform, source)
    return pcm_of(waveform)


def pcm_of(waveform: np.ndarray) -> np.ndarray:
    """float32 samples in [-1, 1] -> int16."""
    return np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def require_faces(people: People, video: Path | str) -> None:
    """Raise LatentSyncError where nobody was found."""
    if not people.persons:
        raise LatentSyncError(
            f"{video}: no face was found in its {people.count} frames (best detector score "
            f"{people.best_detection:.2f}), so there are no lips to judge; take a clip with a visible human face."
        )


def score_known_tracks(
    pictures: Iterable[np.ndarray],
    plan: EvaluationPlan,
    pcm: np.ndarray,
    network: SyncNetV2,
    callbacks: Callbacks | None = None,
) -> SyncScore:
    """Score faces that were tracked already.

    Args:
        pictures: uint8 RGB (H, W, 3), one for each of plan.sources, in this order; consumed once.
        plan: of `plan_evaluation`.
        pcm: (samples,) int16 at 16 kHz, from the clip's first picture on.
        network: computes on the device it is on.
        callbacks: progress in the stage "score", in frames.

    Raises LatentSyncError where the sound ends before any track has 50 frames.
    """
    callbacks = callbacks or Callbacks()
    heard = [min(len(track), len(pcm) // SAMPLES_PER_FRAME - track.first) for track in plan.tracks]
    if max(heard) < FEWEST_FRAMES:
        raise LatentSyncError(
            f"The sound lasts {len(pcm) / SAMPLE_RATE_HZ:.2f} s, and no face is in sight for "
            f"{Fraction(FEWEST_FRAMES) / EVALUATION_FPS} s of them, which SyncNet needs; give a longer recording."
        )
    series = embed_lips(pictures, plan, network, callbacks)
    tracks = []
    for track, lips, frames in zip(plan.tracks, series, heard, strict=True):
        if frames < FEWEST_FRAMES:
            continue
        windows = frames - UNUSED_FRAMES
        sound = pcm[track.first * SAMPLES_PER_FRAME : (track.first + frames) * SAMPLES_PER_FRAME]
        distances = shift_distances(lips[:windows], embed_voice(sound, windows, network, callbacks))
        tracks.append(track_score(track.person + 1, track.first, frames, distances))
    return SyncScore(
        sync_c=float(np.mean([track.sync_c for track in tracks])),
        sync_d=float(np.mean([track.sync_d for track in tracks])),
        offset_frames=float(np.mean([track.offset_frames for track in tracks])),
        tracks=tuple(tracks),
        crop=plan.crop,
    )


def track_score(person: int, first: int, frames: int, distances: np.ndarray) -> TrackScore:
    """The score of one track by its `shift_distances` (n, 31)."""
    curve = shift_curve(distances)
    found = confidence_of(curve)
    return TrackScore(
        person=person,
        first=first,
        frames=frames,
        sync_c=found.confidence,
        sync_d=found.distance,
        offset_frames=found.offset,
        curve=curve,
        confidences=frame_confidences(distances),
    )


def embed_lips(
    pictures: Iterable[np.ndarray], plan: EvaluationPlan, network: SyncNetV2, callbacks: Callbacks
) -> list[np.ndarray]:
    """The lip embeddings (n - 4, d) float32 of every track of a plan, in one pass over the pictures."""
    series = [LipSeries(network) for _ in plan.tracks]
    total = len(plan.frames)
    for done, (frame, picture) in enumerate(zip(plan.frames, pictures, strict=True), 1):
        callbacks.check_cancelled()
        for track, lips in zip(plan.tracks, series, strict=True):
            if 0 <= frame - track.first < len(track):
                lips.add(evaluation_crop(picture, track.boxes[frame - track.first], plan.crop))
        callbacks.on_progress("score", done, total)
    return [lips.finish() for lips in series]


class LipSeries:
    """The embeddings of one face's consecutive crops, of which only those of one batch are held."""

    def __init__(self, network: SyncNetV2):
        self.network = network
        self._crops: list[np.ndarray] = []
        self._embeddings: list[np.ndarray] = []

    def add(self, crop: np.ndarray) -> None:
        """Take the next crop, uint8 BGR (224, 224, 3)."""
        self._crops.append(crop)
        if len(self._crops) == BATCH_WINDOWS + FRAMES - 1:
            self._embed()

    def finish(self) -> np.ndarray:
        """(n - 4, d) float32 for n crops."""
        if len(self._crops) >= FRAMES:
            self._embed()
        return np.concatenate(self._embeddings)

    @torch.inference_mode()
    def _embed(self) -> None:
        self._embeddings.append(self.network.lips(lip_windows(np.stack(self._crops))).cpu().numpy())
        self._crops = self._crops[1 - FRAMES :]


def lip_windows(crops: np.ndarray) -> torch.Tensor:
    """Consecutive crops (n, 224, 224, 3) uint8 BGR -> every five of them, (n - 4, 3, 5, 224, 224) uint8."""
    windows = torch.from_numpy(crops).unfold(0, FRAMES, 1)  # (n - 4, h, w, c, 5)
    return windows.permute(0, 3, 4, 1, 2)


@torch.inference_mode()
def embed_voice(pcm: np.ndarray, windows: int, network: SyncNetV2, callbacks: Callbacks | None = None) -> np.ndarray:
    """The voice embeddings (windows, d) float32 of a sound (samples,) int16 that begins with the first window."""
    callbacks = callbacks or Callbacks()
    embedded = []
    for batch in voice_windows(mfcc(pcm), windows):
        callbacks.check_cancelled()
        embedded.append(network.voice(batch).cpu().numpy())
    return np.concatenate(embedded)


def voice_windows(steps: np.ndarray, windows: int) -> Iterator[torch.Tensor]:
    """The parts (b, 1, 13, 20) of cepstra (13, T) that belong to windows 0, 1 ..., in batches."""
    every = torch.from_numpy(steps).unfold(1, MFCC_STEPS, STEPS_PER_FRAME)[:, :windows]  # (13, windows, 20)
    for start in range(0, windows, BATCH_WINDOWS):
        yield every[:, start : start + BATCH_WINDOWS].transpose(0, 1)[:, None]
