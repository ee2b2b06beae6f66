"""Train what reads the mouth off the embedded audio encoder's features.

``python -m latentsync_core.training.micro.mouth_predictor OUT.safetensors`` takes about three minutes on one core.
Voices are espeak-ng's, augmented as for the encoder itself, which stays as it is. Measured on voices, words and a
language that training never uses.
"""

import argparse
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...audio import FEATURE_RATE_HZ, extract_features
from ...models.embedded import embedded_whisper
from ...models.mouth_predictor import HIDDEN, MOUTH_SHAPE, MouthPredictor
from ...models.whisper import WhisperEncoder
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .audio_encoder import AudioRecipe, augmented, hidden_states, speech_clips
from .trained_file import save_trained

log = logging.getLogger(__name__)

SHAPE_WEIGHTS = (3.0, 1.0, 1.0)  # of the squared errors of opening, width and rounding
LOG_EVERY = 100  # steps


@dataclass(frozen=True)
class PredictorRecipe:
    """seed; clips of 30 s; blocks of block_seconds augmented anew in every batch; steps; learning_rate."""

    seed: int = 21
    clips: int = 160
    block_seconds: float = 6.0
    blocks: int = 1200
    steps: int = 3000
    batch: int = 16
    learning_rate: float = 3e-3
    hidden: int = HIDDEN


@torch.inference_mode()
def feature_blocks(encoder: WhisperEncoder, recipe: PredictorRecipe) -> tuple[Tensor, Tensor]:
    """Augmented blocks: features (blocks, t, layers, width) and mouths (blocks, t, 3)."""
    rng = np.random.default_rng(recipe.seed)
    clips = speech_clips(AudioRecipe(), recipe.clips, recipe.seed)
    steps = int(recipe.block_seconds * FEATURE_RATE_HZ)
    features, mouths = [], []
    for _ in range(recipe.blocks):
        mel, mouth, _ = augmented(clips[int(rng.integers(len(clips)))], steps, rng)
        offset = int(rng.integers(0, encoder.n_ctx - steps + 1))
        features.append(hidden_states(encoder, mel[None], offset)[0].half())
        mouths.append(mouth)
    return torch.stack(features), torch.stack(mouths)


def train_mouth_predictor(
    path: Path | str,
    recipe: PredictorRecipe | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> dict[str, float]:
    """Train, measure on held-out voices, and write the predictor to `path`; returns `measure`'s numbers.

    recipe: clips and steps; None = the defaults. on_progress: counts steps. check_cancelled: before every step.
    """
    recipe, encoder = recipe or PredictorRecipe(), embedded_whisper()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    predictor = MouthPredictor(encoder.layers, encoder.width, recipe.hidden)
    features, mouths = feature_blocks(encoder, recipe)
    optimizer = torch.optim.AdamW(predictor.parameters(), recipe.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps)
    weights, history = torch.tensor(SHAPE_WEIGHTS), []
    for step in range(recipe.steps):
        check_cancelled()
        picks = torch.from_numpy(rng.integers(0, len(features), recipe.batch))
        error = (predictor(features[picks].float()) - mouths[picks]).square()
        loss = (error * weights).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % LOG_EVERY == 0 or step == recipe.steps - 1:
            history.append({"step": step, "loss": round(loss.item(), 5)})
            log.info("step %d of %d: loss %.4f", step, recipe.steps, loss.item())
        on_progress(step + 1, recipe.steps)
    numbers = measure(predictor.half().float().eval(), encoder, recipe.seed)
    shape = {"layers": encoder.layers, "width": encoder.width, "hidden": recipe.hidden}
    save_trained(path, predictor, {"predictor": shape, "recipe": asdict(recipe), "measured": numbers}, history)
    return numbers


@torch.inference_mode()
def measure(predictor: MouthPredictor, encoder: WhisperEncoder, seed: int, clips: int = 8) -> dict[str, float]:
    """Correlation of opening, width and rounding with the truth, on held-out voices and words."""
    predicted, truth = [], []
    for clip in speech_clips(AudioRecipe(), clips, seed + 1, held_out=True):
        features = extract_features(torch.from_numpy(clip.waveform), encoder)
        steps = min(len(features), len(clip.mouth))
        predicted.append(predictor.mouth(features)[:steps])
        truth.append(torch.from_numpy(clip.mouth[:steps]))
    found, expected = torch.cat(predicted).T, torch.cat(truth).T  # (3, steps)
    return {n: round(float(np.corrcoef(found[i], expected[i])[0, 1]), 4) for i, n in enumerate(MOUTH_SHAPE)}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--seed", type=int, default=PredictorRecipe.seed)
    parser.add_argument("--steps", type=int, default=PredictorRecipe.steps)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = PredictorRecipe(seed=arguments.seed, steps=arguments.steps)
    log.info("%s", train_mouth_predictor(arguments.out, recipe))


if __name__ == "__main__":
    main()
