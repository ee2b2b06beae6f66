"""Train the decoder of the embedded autoencoder further, so that it draws the mouth as far open as the latents say.

``python -m latentsync_core.training.micro.decoder_further OUT.safetensors --clips micro/unet/cache`` takes some five
minutes on one core. The encoder stays as it is, and with it the latents that the UNets were trained on. In a decoder
trained on all of the lower face alike the opening, which is a few dark pixels, came out a quarter too small; here the
pixels between and around the lips have most of the weight, and the latents less noise.
"""

import argparse
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from ...errors import LatentSyncError
from ...faces import fixed_mask
from ...generators.face_latents import pixels_of
from ...models.autoencoder import AutoencoderKL
from ...models.embedded import VAE, embedded_vae
from ...models.tensor_file import read_tensors
from ...models.vae import LATENT_SCALE
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .autoencoder import (
    KEPT_WEIGHT,
    RESOLUTION,
    SHAPE,
    AutoencoderRecipe,
    descend,
    measure,
    reconstruction_loss,
)
from .trained_file import save_trained

log = logging.getLogger(__name__)

LIP_BOX = (0.50, 0.70, 0.30, 0.70)  # top, bottom, left, right of the crop: where lips and what is between them may be
LIP_WEIGHT = 8.0  # added to 1
SQUARED_WEIGHT = 4.0  # of squared errors beside absolute ones, which alone favour the median, a mouth half shut
LOG_EVERY = 25  # steps


@dataclass(frozen=True)
class DecoderRecipe:
    """seed; every frame_step-th frame of the prepared clips; steps of `batch` crops; latent_noise in scaled latents."""

    seed: int = 31
    frame_step: int = 3
    steps: int = 700
    batch: int = 4
    learning_rate: float = 1.5e-3
    latent_noise: float = 0.05


def prepared_faces(folder: Path, frame_step: int) -> tuple[Tensor, Tensor]:
    """Crops (n, r, r, 3) uint8 of the clips that training has prepared in a folder, and their latents (n, 4, h, w)."""
    crops, latents = [], []
    for path in sorted(folder.glob("*-faces-*.safetensors")):
        (encoded,) = folder.glob(f"{path.name.partition('-faces-')[0]}-latents-*.safetensors")
        if not path.name.startswith("unheard"):
            with safe_open(path, framework="pt") as faces, safe_open(encoded, framework="pt") as posteriors:
                crops.append(faces.get_tensor("crops")[::frame_step])
                latents.append(posteriors.get_tensor("mean")[::frame_step])
    if not crops:
        raise LatentSyncError(f"{folder} holds no prepared clips; name data.cache of a training run.")
    found, encoded = torch.cat(crops), torch.cat(latents)
    seen = (found > 0).flatten(1).any(1)  # all black where no face was
    return found[seen], encoded[seen]


def lip_weights() -> Tensor:
    """(1, 1, r, r), most around the lips, least where the pipeline keeps the source's pixels."""
    weights = torch.ones(1, 1, RESOLUTION, RESOLUTION)
    top, bottom, left, right = (round(edge * RESOLUTION) for edge in LIP_BOX)
    weights[..., top:bottom, left:right] += LIP_WEIGHT
    weights *= KEPT_WEIGHT + 1 - fixed_mask(RESOLUTION)
    return weights / weights.mean()


def train_decoder_further(
    path: Path | str,
    clips: Path,
    recipe: DecoderRecipe,
    *,
    measured_clips: int = 3,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> dict[str, float]:
    """Train, measure on other clips, and write the whole autoencoder to `path`; returns `measure`'s numbers.

    Args:
        path: .safetensors file to write.
        clips: folder of prepared clips, `data.cache` of a run with this autoencoder.
        recipe: steps and weights.
        measured_clips: rendered for the measurement.
        on_progress: counts steps.
        check_cancelled: called before every step.
    """
    torch.manual_seed(recipe.seed)
    rng, noise = np.random.default_rng(recipe.seed), torch.Generator().manual_seed(recipe.seed)
    network, weights = embedded_vae(), lip_weights()
    crops, encoded = prepared_faces(clips, recipe.frame_step)
    learned = decoder_weights(network)
    optimizer = torch.optim.AdamW(learned, recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1)
    history, mean = [], 0.0
    for step in range(recipe.steps):
        check_cancelled()
        picked = torch.from_numpy(rng.integers(0, len(crops), recipe.batch))
        pixels = pixels_of(crops[picked].numpy()).contiguous(memory_format=torch.channels_last)
        error = torch.randn(encoded[picked].shape, generator=noise) * recipe.latent_noise
        latents = (encoded[picked] + error) / LATENT_SCALE
        found = network.decode(latents)
        squared = ((found - pixels).square() * weights).mean()
        loss = reconstruction_loss(found, pixels, weights) + SQUARED_WEIGHT * squared
        descend(loss, learned, optimizer, schedule)
        mean = loss.item() if not step else 0.95 * mean + 0.05 * loss.item()
        if step % LOG_EVERY == 0 or step == recipe.steps - 1:
            history.append({"step": step, "loss": round(mean, 5)})
            log.info("step %d of %d: loss %.4f", step, recipe.steps, mean)
        on_progress(step + 1, recipe.steps)
    network.eval().requires_grad_(False)
    numbers = measure(network.half().float(), AutoencoderRecipe(measured_clips=measured_clips))
    started_from = read_tensors(VAE).mapping("recipe")
    about = {"config": SHAPE, "recipe": asdict(recipe), "started_from": started_from, "measured": numbers}
    save_trained(path, network, about, history)
    return numbers


def decoder_weights(network: AutoencoderKL) -> list[torch.nn.Parameter]:
    """The weights after the latents, which alone are trained."""
    network.to(memory_format=torch.channels_last).train().requires_grad_(False)
    learned = [*network.post_quant_conv.parameters(), *network.decoder.parameters()]
    for weight in learned:
        weight.requires_grad_(True)
    return learned


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--clips", type=Path, required=True, help="folder of prepared clips, `data.cache` of a run")
    parser.add_argument("--steps", type=int, default=DecoderRecipe.steps)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    log.info("%s", train_decoder_further(arguments.out, arguments.clips, DecoderRecipe(steps=arguments.steps)))


if __name__ == "__main__":
    main()
