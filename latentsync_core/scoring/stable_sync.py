"""How sure StableSyncNet is that lips and voice belong together: cosine similarity, and the share above one half.

LatentSync was trained with this network as one of its losses, so that it flatters LatentSync's own results: a number
to watch one's training by, not to compare generators (REFERENCE section 1, "Sync networks"; arXiv 2412.09262).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import LatentSyncError
from ..faces import FaceTrack, crop_face
from ..models.syncnet import StableSyncNet
from ..models.syncnet.mel import HOP, MELS, SAMPLE_RATE_HZ, syncnet_mel
from ..progress import Callbacks
from .syncnet_crops import EVALUATION_FPS, EvaluationPlan, EvaluationTrack

RESOLUTION = 256  # pixels of the aligned crop, whose lower half is looked at
WINDOW_FRAMES = 16
MEL_COLUMNS = 52  # of a window
COLUMNS_PER_SECOND = SAMPLE_RATE_HZ // HOP
EDGE_COLUMNS = 4  # computed beyond a window on either side: its own then are those of the whole sound
IN_SYNC = 0.5  # cosine similarity above which a window counts as in sync


@dataclass(frozen=True)
class StableSyncScore:
    """similarity: mean cosine over windows of 16 frames, 0..1. accuracy: the share of them above 0.5. windows: of all
    tracks."""

    similarity: float
    accuracy: float
    windows: int


def stable_sync(
    pictures: Iterable[np.ndarray],
    plan: EvaluationPlan,
    faces: Sequence[FaceTrack],
    pcm: np.ndarray,
    network: StableSyncNet,
    callbacks: Callbacks | None = None,
) -> StableSyncScore:
    """Judge consecutive windows of 16 frames at 25 per second, of every track of a plan.

    Args:
        pictures: uint8 RGB (H, W, 3), one for each of plan.sources, in this order; consumed once.
        plan: of `plan_evaluation` for `faces`.
        faces: the tracks over all source frames.
        pcm: (samples,) int16 at 16 kHz, from the clip's first picture on.
        network: computes on the device it is on.
        callbacks: progress in the stage "score", in frames.

    Raises LatentSyncError where the sound ends before the first window does.
    """
    callbacks = callbacks or Callbacks()
    matrices = [face.matrices(RESOLUTION, "reference") for face in faces]
    crops: list[list[np.ndarray]] = [[] for _ in plan.tracks]
    similarities: list[float] = []
    shown = zip(plan.frames, plan.sources, pictures, strict=True)
    for done, (frame, source, picture) in enumerate(shown, 1):
        callbacks.check_cancelled()
        for track, held in zip(plan.tracks, crops, strict=True):
            if not 0 <= frame - track.first < len(track):
                continue
            held.append(crop_face(picture, matrices[track.person][source], RESOLUTION))
            if len(held) == WINDOW_FRAMES:
                similarities += similarity_of(held, mel_window(pcm, frame + 1 - WINDOW_FRAMES), network)
                held.clear()
        callbacks.on_progress("score", done, len(plan.frames))
    if not similarities:
        raise LatentSyncError(
            f"The sound lasts {len(pcm) / SAMPLE_RATE_HZ:.2f} s and the first {WINDOW_FRAMES} frames with a face end "
            f"at {first_end(plan.tracks):.2f} s, so that StableSyncNet has nothing to judge; give a longer recording."
        )
    return StableSyncScore(
        similarity=float(np.mean(similarities)),
        accuracy=float(np.mean(np.array(similarities) > IN_SYNC)),
        windows=len(similarities),
    )


def first_end(tracks: Sequence[EvaluationTrack]) -> float:
    """Seconds at which the first window of any track ends."""
    return float((min(track.first for track in tracks) + WINDOW_FRAMES) / EVALUATION_FPS)


def mel_window(pcm: np.ndarray, frame: int) -> Tensor:
    """The spectrogram (80, 52) beside 16 frames from `frame` on; fewer columns where the sound ends before.

    It begins at column int(80 * frame / 25) of the whole sound's, but only its own part of the sound is analysed.
    """
    start = int(COLUMNS_PER_SECOND * frame / EVALUATION_FPS)
    first = max(0, start - EDGE_COLUMNS)
    sound = pcm[first * HOP : (start + MEL_COLUMNS + EDGE_COLUMNS) * HOP]
    if len(sound) <= (start - first) * HOP:
        return torch.zeros(MELS, 0)
    columns = min(MEL_COLUMNS, len(pcm) // HOP + 1 - start)
    waveform = torch.from_numpy(sound.astype(np.float32) / (1 << 15))
    return syncnet_mel(waveform)[:, start - first : start - first + columns]


@torch.inference_mode()
def similarity_of(crops: Sequence[np.ndarray], mel: Tensor, network: StableSyncNet) -> list[float]:
    """The cosine similarity of 16 crops (256, 256, 3) uint8 RGB and their mel; none where the sound has ended."""
    if mel.shape[-1] < MEL_COLUMNS:
        return []
    device = next(network.parameters()).device
    lower = torch.from_numpy(np.stack(crops))[:, RESOLUTION // 2 :]  # (16, 128, 256, 3)
    video = lower.permute(0, 3, 1, 2).reshape(1, -1, RESOLUTION // 2, RESOLUTION)  # (1, 48, 128, 256)
    vision, audio = network(video.to(device).float() / 127.5 - 1, mel[None, None].to(device))
    return [float((vision * audio).sum())]
