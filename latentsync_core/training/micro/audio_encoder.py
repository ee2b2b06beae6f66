"""Train the embedded audio encoder: Whisper's architecture, 96 wide, to encode the shape of the mouth.

``python -m latentsync_core.training.micro.audio_encoder OUT.safetensors`` takes about half an hour on one core.
Every hidden state that `audio.extract_features` keeps is trained to predict opening, width, rounding and phoneme class
through a linear probe that is discarded afterwards. Voices: espeak-ng's, with pitch, speed, noise, level and tone
augmented.
"""

import argparse
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from whisper.audio import log_mel_spectrogram

from ...audio import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, extract_features
from ...models.tensor_file import read_tensors
from ...models.whisper import WhisperEncoder, load_whisper
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..synthetic.scripts import seeded_speech
from ..synthetic.visemes import CLASSES, mouth_motion
from .trained_file import save_trained

log = logging.getLogger(__name__)

DIMS = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 96, "n_audio_head": 4, "n_audio_layer": 4}
MEL_PER_STEP = 2
SPEED = (0.88, 1.14)  # playback speed of a voice, which changes its formants
NOISE_DB = (-70.0, -34.0)  # relative to the loudest sample
GAIN = (0.3, 1.2)
TONE = 0.15  # log-mel units from the lowest to the highest band
MOUTH_WEIGHTS = (3.0, 0.5, 1.0)  # of the squared errors of opening, width and rounding
CLASS_WEIGHT = 0.02  # of the cross-entropy beside the squared errors
PROBES_ONLY = 200  # steps that train the probes alone on an encoder that was not initialised at random
LOG_EVERY = 25  # steps


@dataclass(frozen=True)
class AudioRecipe:
    """seed; clips of clip_seconds; then `steps` short blocks (block_seconds) and `long_steps` whole 30 s blocks."""

    seed: int = 20
    clips: int = 400
    clip_seconds: float = 30.0
    block_seconds: float = 6.0
    steps: int = 8000
    batch: int = 8
    long_steps: int = 200
    long_batch: int = 2
    learning_rate: float = 1.5e-3


@dataclass(frozen=True, eq=False)
class SpeechClip:
    """waveform (samples,) float32 at 16 kHz; mouth (T, 3) float32 and labels (T,) int64 at 50 Hz."""

    waveform: np.ndarray
    mouth: np.ndarray
    labels: np.ndarray


class LinearProbes(nn.Module):
    """One linear probe per hidden state: (b, t, layers, width) -> (b, t, layers, 3 + classes)."""

    def __init__(self, layers: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers, width, 3 + len(CLASSES)))
        self.bias = nn.Parameter(torch.zeros(layers, 3 + len(CLASSES)))

    def forward(self, states: Tensor) -> Tensor:
        return torch.einsum("btld,ldk->btlk", states, self.weight) + self.bias


def speech_clips(recipe: AudioRecipe, count: int, seed: int, held_out: bool = False) -> list[SpeechClip]:
    """Synthesise `count` clips."""
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(count):
        speech, _ = seeded_speech(recipe.clip_seconds, rng, held_out)
        motion = mouth_motion(speech, int(recipe.clip_seconds * FEATURE_RATE_HZ), FEATURE_RATE_HZ)
        clips.append(SpeechClip(speech.waveform, motion.parameters(), motion.labels))
    return clips


def augmented(clip: SpeechClip, steps: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """An augmented part of a clip: log-mel (80, 2 * steps), mouth (steps, 3), labels (steps,)."""
    speed = rng.uniform(*SPEED)
    needed = min(int(steps * speed) + 2, len(clip.labels))
    start = int(rng.integers(0, len(clip.labels) - needed + 1))
    hop = SAMPLE_RATE_HZ // FEATURE_RATE_HZ
    source = start * hop + np.arange(steps * hop) * speed
    waveform = np.interp(source, np.arange(len(clip.waveform)), clip.waveform, right=0.0) * rng.uniform(*GAIN)
    loudest = np.abs(waveform).max()
    waveform += rng.standard_normal(len(waveform)) * loudest * 10 ** (rng.uniform(*NOISE_DB) / 20)
    at = start + np.arange(steps) * speed
    mouth = np.stack([np.interp(at, np.arange(len(clip.mouth)), column) for column in clip.mouth.T], -1)
    labels = clip.labels[np.minimum(np.round(at).astype(int), len(clip.labels) - 1)]
    mel = log_mel_spectrogram(torch.from_numpy(waveform.astype(np.float32)))[:, : MEL_PER_STEP * steps]
    tone = rng.uniform(-TONE, TONE) * torch.linspace(-0.5, 0.5, mel.shape[0])[:, None]
    return mel + tone + rng.uniform(-TONE, TONE), torch.from_numpy(mouth).float(), torch.from_numpy(labels)


def hidden_states(encoder: WhisperEncoder, mel: Tensor, offset: int) -> Tensor:
    """Like the encoder's forward for a block of any length, as if it began `offset` steps into 30 s."""
    x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).transpose(1, 2)  # (b, t, width)
    x = x + encoder.positional_embedding[offset : offset + x.shape[1]]
    states = [x]
    for block in encoder.blocks:
        states.append(block(states[-1]))
    return torch.stack(states, dim=2)


def batch_loss(encoder, probes, clips: list[SpeechClip], count: int, block: int, rng) -> Tensor:
    """The loss on some blocks, half of the time with Whisper's zero padding from a random step on.

    Args:
        encoder: the network in training.
        probes: its linear probes.
        clips: to take blocks from.
        count: of blocks.
        block: steps of each.
        rng: of every random choice.
    """
    mels, mouths, labels = zip(
        *(augmented(clips[i], block, rng) for i in rng.integers(0, len(clips), count)), strict=True
    )
    mel, mouth, label = torch.stack(mels), torch.stack(mouths), torch.stack(labels)
    length = int(rng.integers(block // 3, block + 1)) if rng.random() < 0.5 else block
    mel[:, :, MEL_PER_STEP * length :] = 0
    offset = 0 if length < block else int(rng.integers(0, encoder.n_ctx - block + 1))
    predicted = probes(hidden_states(encoder, mel, offset)[:, :length])  # (b, t, layers, 3 + classes)
    mouth, label = mouth[:, :length, None], label[:, :length, None]
    error = ((predicted[..., :3] - mouth).square() * torch.tensor(MOUTH_WEIGHTS)).mean()
    classes = predicted[..., 3:].flatten(0, 2)
    return error + CLASS_WEIGHT * F.cross_entropy(classes, label.expand(predicted.shape[:3]).flatten())


def train_audio_encoder(
    path: Path | str,
    recipe: AudioRecipe | None = None,
    *,
    start: Path | str | None = None,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> dict[str, float]:
    """Train, measure on held-out voices, and write the encoder to `path`; returns `measure`'s numbers.

    Args:
        path: .safetensors file to write.
        recipe: clips, steps and learning rate; None = the defaults.
        start: an encoder to start from, so that its features keep their meaning; only the probes are trained at first.
        on_progress: counts steps.
        check_cancelled: called before every step.
    """
    recipe = recipe or AudioRecipe()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    encoder = WhisperEncoder.from_dims(DIMS) if start is None else load_whisper(start)
    encoder.train().requires_grad_(start is None)
    probes = LinearProbes(encoder.layers, encoder.width)
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *probes.parameters()], recipe.learning_rate, weight_decay=0.01
    )
    total = recipe.steps + recipe.long_steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total, pct_start=0.08)
    clips = speech_clips(recipe, recipe.clips, recipe.seed)
    history = []
    for step in range(total):
        check_cancelled()
        if step == PROBES_ONLY:
            encoder.requires_grad_(True)
        long = step >= recipe.steps
        block = encoder.n_ctx if long else int(recipe.block_seconds * FEATURE_RATE_HZ)
        loss = batch_loss(encoder, probes, clips, recipe.long_batch if long else recipe.batch, block, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % LOG_EVERY == 0 or step == total - 1:
            history.append({"step": step, "loss": round(loss.item(), 5)})
            log.info("step %d of %d: loss %.4f", step, total, loss.item())
        on_progress(step + 1, total)
    encoder.eval().requires_grad_(False)
    numbers = measure(encoder.half().float(), recipe)
    about = {"dims": DIMS, "recipe": asdict(recipe), "measured": numbers}
    if start is not None:
        about["started_from"] = read_tensors(start).mapping("recipe") or Path(start).name
    save_trained(path, encoder, about, history)
    return numbers


@torch.inference_mode()
def measure(encoder: WhisperEncoder, recipe: AudioRecipe, clips: int = 8) -> dict[str, float]:
    """How well a linear regression on the features predicts the mouth: fitted on training voices, tested on held-out.

    Returns the correlation of opening, width and rounding, and the features' standard deviation.
    """
    fitted, tested = (speech_clips(recipe, clips, recipe.seed + 1 + held, bool(held)) for held in (0, 1))
    x, y = zip(*(_features_and_mouth(encoder, clip) for clip in fitted), strict=True)
    x, y = torch.cat(x), torch.cat(y)
    ridge = x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1])
    weights = torch.linalg.solve(ridge, x.T @ y)
    features, truth = zip(*(_features_and_mouth(encoder, clip) for clip in tested), strict=True)
    predicted, truth = torch.cat(features) @ weights, torch.cat(truth)
    names = ("opening", "width", "rounding")
    correlations = {n: float(np.corrcoef(predicted[:, i], truth[:, i])[0, 1]) for i, n in enumerate(names)}
    return {**correlations, "feature_std": float(torch.cat(features)[:, :-1].std())}


def _features_and_mouth(encoder: WhisperEncoder, clip: SpeechClip) -> tuple[Tensor, Tensor]:
    """(T, layers * width + 1) with a constant at the end, and (T, 3)."""
    features = extract_features(torch.from_numpy(clip.waveform), encoder).flatten(1)
    steps = min(len(features), len(clip.mouth))
    return F.pad(features[:steps], (0, 1), value=1.0), torch.from_numpy(clip.mouth[:steps])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--seed", type=int, default=AudioRecipe.seed)
    parser.add_argument("--steps", type=int, default=AudioRecipe.steps)
    parser.add_argument("--start", type=Path, help="an encoder of the same kind to start from")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = AudioRecipe(seed=arguments.seed, steps=arguments.steps)
    log.info("%s", train_audio_encoder(arguments.out, recipe, start=arguments.start))


if __name__ == "__main__":
    main()
