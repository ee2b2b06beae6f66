"""Train a narrow SyncNet v2 on rendered clips: a judge for tests, whose offsets and confidences have a known truth.

``python -m latentsync_core.training.micro.sync_net OUT.safetensors`` takes about twenty minutes on one core.
Windows of lips and voice are drawn in groups that lie within 30 frames of one clip, and each must be nearer to its own
partner than to those of the whole batch: a symmetric cross-entropy over squared distances (InfoNCE, arXiv 1807.03748,
with a Gaussian kernel). Near partners of the same clip teach time, others teach voices.
It has seen one portrait and espeak-ng only. As a judge of anything else it would be wrong without saying so, hence it
lies with the tests and no command finds it.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...faces import FaceNets, track_faces
from ...models.syncnet import SyncNetV2, SyncNetV2Config
from ...models.syncnet.sync_net_v2 import FRAMES
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ...scoring import mfcc
from ...scoring.sync_confidence import SyncConfidence, sync_confidence
from ...scoring.syncnet import (
    FULL_SCALE,
    SAMPLES_PER_FRAME,
    UNUSED_FRAMES,
    LipSeries,
    embed_voice,
    voice_windows,
)
from ...scoring.syncnet_crops import evaluation_crop, plan_evaluation
from ..synthetic.clips import FPS, ClipRecipe, SyntheticClip, synthetic_clips
from .trained_file import save_trained

log = logging.getLogger(__name__)

WIDTHS = SyncNetV2Config(voice=(16, 32, 32, 32, 32, 64), lips=(8, 16, 24, 24, 24, 64), hidden=64, embedding=32)
REACH = 15  # frames to either side of a group's middle
GAIN = 0.1  # deviation of a clip's brightness, a share
LOUDNESS = 0.7  # deviation of a voice's log energy
SHIFTS = range(-10, 11)  # frames by which held-out voices are shifted
LOG_EVERY = 20  # steps


@dataclass(frozen=True)
class SyncNetRecipe:
    """seed; clips of `seconds`; steps, each with `groups` groups of `windows` windows; clips to measure on."""

    seed: int = 40
    clips: int = 48
    seconds: float = 6.0
    steps: int = 700
    groups: int = 8
    windows: int = 8
    learning_rate: float = 2e-3
    measured_clips: int = 4


@dataclass(frozen=True, eq=False)
class SyncClip:
    """crops (n, 224, 224, 3) uint8 BGR at 25 per second; pcm (samples,) int16 at 16 kHz from the first of them on."""

    crops: np.ndarray
    pcm: np.ndarray


def sync_clips(recipe: SyncNetRecipe, count: int, held_out: bool = False) -> Iterator[SyncClip]:
    """Render, track and crop clips as the score crops them."""
    nets = FaceNets()
    for clip in synthetic_clips(ClipRecipe(recipe.seed, recipe.seconds, held_out=held_out), count):
        yield sync_clip(clip, nets)


def sync_clip(clip: SyntheticClip, nets: FaceNets) -> SyncClip:
    """The crops and the sound of the longest time for which the face is tracked."""
    fps = Fraction(FPS)
    plan = plan_evaluation([track_faces(clip.frames, nets=nets)], [i / fps for i in range(len(clip.frames))], fps)
    track = max(plan.tracks, key=len)
    frames = clip.frames[track.first : track.first + len(track)]
    crops = np.stack([evaluation_crop(frame, box) for frame, box in zip(frames, track.boxes, strict=True)])
    pcm = np.rint(clip.speech.waveform * (FULL_SCALE - 1)).astype(np.int16)
    return SyncClip(crops, pcm[track.first * SAMPLES_PER_FRAME : (track.first + len(track)) * SAMPLES_PER_FRAME])


def train_sync_net(
    path: Path | str,
    recipe: SyncNetRecipe | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> dict[str, float]:
    """Train, measure on held-out voices, and write the network to `path`; returns `measure`'s numbers."""
    recipe = recipe or SyncNetRecipe()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    clips = list(sync_clips(recipe, recipe.clips))
    network = SyncNetV2(WIDTHS).train()
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1)
    history = []
    for step in range(recipe.steps):
        check_cancelled()
        lips, voice = batch(clips, recipe, rng)
        loss = contrastive_loss(network.lips(lips), network.voice(voice))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % LOG_EVERY == 0 or step == recipe.steps - 1:
            history.append({"step": step, "loss": round(loss.item(), 5)})
            log.info("step %d of %d: loss %.4f", step, recipe.steps, loss.item())
        on_progress(step + 1, recipe.steps)
    network.eval().requires_grad_(False)
    numbers = measure(network.half().float(), list(sync_clips(recipe, recipe.measured_clips, held_out=True)))
    save_trained(path, network, {"config": asdict(WIDTHS), "recipe": asdict(recipe), "measured": numbers}, history)
    return numbers


def batch(clips: list[SyncClip], recipe: SyncNetRecipe, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Groups of windows: lips (b, 3, 5, 224, 224) float32 0..255 and voice (b, 1, 13, 20), b = groups * windows."""
    lips, voice = [], []
    for index in rng.choice(len(clips), recipe.groups, replace=recipe.groups > len(clips)):
        clip = clips[index]
        count = len(clip.crops) - UNUSED_FRAMES
        reach = min(2 * REACH + 1, count)
        first = rng.integers(0, count - reach + 1)
        chosen = first + rng.choice(reach, recipe.windows, replace=False)
        gain = 1 + rng.normal(0, GAIN)
        shown = torch.from_numpy(clip.crops[chosen[:, None] + np.arange(FRAMES)])  # (windows, 5, h, w, 3)
        lips.append((shown.permute(0, 4, 1, 2, 3).float() * gain).clamp_(0, 255))
        heard = torch.cat(list(voice_windows(mfcc(clip.pcm), count)))[torch.from_numpy(chosen)]
        heard[:, :, 0] += rng.normal(0, LOUDNESS)
        voice.append(heard)
    return torch.cat(lips), torch.cat(voice)


def contrastive_loss(lips: Tensor, voice: Tensor) -> Tensor:
    """How surely each of b embeddings (b, d) is nearest to its partner among all, in both directions."""
    nearness = -torch.cdist(lips, voice).square()  # (b, b)
    partner = torch.arange(len(lips))
    return (F.cross_entropy(nearness, partner) + F.cross_entropy(nearness.T, partner)) / 2


def measure(network: SyncNetV2, clips: list[SyncClip]) -> dict[str, float]:
    """How well the truth is found on clips that were not trained on.

    exact, within_one: share of shifts of -10 .. 10 frames whose offset is found, and to one frame. confidence: of the
    clips as they are, foreign_confidence: with the voice of another.
    """
    lips = [embed_crops(network, clip.crops) for clip in clips]
    voices = [clip.pcm for clip in clips]
    own = [
        [score_shifted(network, seen, heard, late) for late in SHIFTS] for seen, heard in zip(lips, voices, strict=True)
    ]
    errors = np.abs([[score.offset + late for score, late in zip(clip, SHIFTS, strict=True)] for clip in own])
    foreign = [
        score_shifted(network, seen, heard, 0) for seen, heard in zip(lips, voices[1:] + voices[:1], strict=True)
    ]
    return {
        "exact": float((errors == 0).mean()),
        "within_one": float((errors <= 1).mean()),
        "confidence": float(np.mean([clip[SHIFTS.index(0)].confidence for clip in own])),
        "foreign_confidence": float(np.mean([score.confidence for score in foreign])),
    }


def embed_crops(network: SyncNetV2, crops: np.ndarray) -> np.ndarray:
    """The lip embeddings (n - 4, d) of crops (n, 224, 224, 3) uint8 BGR."""
    lips = LipSeries(network)
    for crop in crops:
        lips.add(crop)
    return lips.finish()


def score_shifted(network: SyncNetV2, lips: np.ndarray, pcm: np.ndarray, late: int) -> SyncConfidence:
    """The score of lip embeddings (n, d) beside a sound that comes `late` frames too late (below 0: too early)."""
    seen = lips[max(0, late) : len(lips) + min(0, late)]
    sound = pcm[max(0, -late) * SAMPLES_PER_FRAME :]
    windows = min(len(seen), len(sound) // SAMPLES_PER_FRAME - UNUSED_FRAMES)
    return sync_confidence(seen[:windows], embed_voice(sound, windows, network))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--seed", type=int, default=SyncNetRecipe.seed)
    parser.add_argument("--clips", type=int, default=SyncNetRecipe.clips)
    parser.add_argument("--steps", type=int, default=SyncNetRecipe.steps)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = SyncNetRecipe(seed=arguments.seed, clips=arguments.clips, steps=arguments.steps)
    log.info("%s", train_sync_net(arguments.out, recipe))


if __name__ == "__main__":
    main()
