"""Train the embedded autoencoder: Stable Diffusion's architecture, a few channels wide, for one portrait.

``python -m latentsync_core.training.micro.autoencoder OUT.safetensors`` takes some fifteen minutes on one core. It is
trained on aligned crops as the pipeline makes them, whole and with the mouth masked out, in random poses and lights and
with every shape of the mouth. Then its latents are shifted and scaled, inside its own 1x1 convolutions, to mean 0 and,
times Stable Diffusion's factor, deviation 1, as diffusion expects. After that the encoder is frozen, and the decoder
alone is fine-tuned on the part that the pipeline keeps of it, the lower face, also from noisy latents.
"""

import argparse
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...faces import crop_face, crop_size, fixed_mask, track_faces
from ...faces.landmarks import MeshFitter, roi_from_mesh
from ...faces.mouth_opening import mouth_opening
from ...generators.face_latents import pixels_of
from ...models.autoencoder import AutoencoderConfig, AutoencoderKL
from ...models.vae import LATENT_SCALE, SD_SHAPE, AutoencoderCodec
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..synthetic.clips import draw_frames, random_pose, smooth_noise
from ..synthetic.portrait import load_portrait
from ..synthetic.visemes import MouthMotion
from .trained_file import save_trained

log = logging.getLogger(__name__)

SHAPE = {**SD_SHAPE, "block_out_channels": (16, 32, 48, 64), "layers_per_block": 1, "norm_num_groups": 8}
RESOLUTION = 128  # pixels
MOUTH_BOX = (0.45, 0.98, 0.18, 0.82)  # top, bottom, left, right of the crop, where pixels have more weight
MOUTH_WEIGHT = 3.0  # added to 1
EDGE_WEIGHT = 0.5  # of the error of differences between neighbouring pixels
KL_WEIGHT = 1e-3
KEPT_WEIGHT = 0.15  # of pixels that the pipeline takes from the source, while the decoder alone is trained
LATENT_NOISE = 0.12  # deviation added to scaled latents meanwhile, as a UNet's error
LIGHT = 0.12  # deviation of the gain, per colour half of it
JITTER_SCALE, JITTER_SHIFT, JITTER_ANGLE = 0.03, 2.0, 0.03  # of the alignment: a ratio, crop pixels, radians
LOG_EVERY = 20  # steps


@dataclass(frozen=True)
class AutoencoderRecipe:
    """seed; clips of clip_frames frames; steps with whole and masked crops, then decoder_steps; clips to measure on."""

    seed: int = 30
    clips: int = 24
    clip_frames: int = 75
    steps: int = 900
    whole: int = 5
    masked: int = 2
    learning_rate: float = 3e-3
    decoder_steps: int = 1000
    decoder_learning_rate: float = 2e-3
    measured_clips: int = 3


@dataclass(frozen=True, eq=False)
class CropClip:
    """crops (F, r, r, 3) uint8 aligned; mesh (F, 468, 2) in pixels of the crop before its resize; opening (F,)."""

    crops: np.ndarray
    mesh: np.ndarray
    opening: np.ndarray


def crop_clips(recipe: AutoencoderRecipe, count: int, seed: int, jitter: bool) -> list[CropClip]:
    """Render, track and crop clips in which the mouth takes every shape it can."""
    rng, portrait = np.random.default_rng(seed), load_portrait()
    clips = []
    for _ in range(count):
        pose = random_pose(random_mouth_motion(recipe.clip_frames, rng), rng)
        frames = draw_frames(portrait, pose, 256)
        track = track_faces(frames)
        matrices = track.matrices(RESOLUTION)
        if jitter:
            matrices = np.stack([jittered(matrix, rng) for matrix in matrices])
        crops = np.stack([crop_face(f, m, RESOLUTION) for f, m in zip(frames, matrices, strict=True)])
        points = np.concatenate([track.mesh[..., :2], np.ones_like(track.mesh[..., :1])], -1)
        mesh = np.einsum("fij,fpj->fpi", matrices, points)
        clips.append(CropClip(crops, mesh, pose.opening.numpy()))
    return clips


def random_mouth_motion(frames: int, rng: np.random.Generator) -> MouthMotion:
    """Random motion of the mouth that covers every opening, width and rounding, and closes it often."""
    opening = np.clip(0.3 + smooth_noise(frames, 0.4, 0.12, rng), 0, 1)
    width = np.clip(smooth_noise(frames, 0.5, 0.15, rng), -1, 1)
    rounding = np.clip(0.25 + smooth_noise(frames, 0.4, 0.15, rng), 0, 1)
    return MouthMotion(
        opening=opening.astype(np.float32),
        width=width.astype(np.float32),
        rounding=rounding.astype(np.float32),
        labels=np.zeros(frames, np.int64),
    )


def jittered(matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An alignment matrix (2, 3), turned, scaled and shifted a little about the crop's middle."""
    angle, scale = rng.normal(0, JITTER_ANGLE), 1 + rng.normal(0, JITTER_SCALE)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array(crop_size(RESOLUTION)) / 2
    moved = turn @ matrix
    moved[:, 2] += middle - turn @ middle + rng.normal(0, JITTER_SHIFT, 2)
    return moved.astype(np.float32)


def pixel_weights() -> Tensor:
    """(1, 1, r, r), more around the mouth."""
    weights = torch.ones(1, 1, RESOLUTION, RESOLUTION)
    top, bottom, left, right = (round(edge * RESOLUTION) for edge in MOUTH_BOX)
    weights[..., top:bottom, left:right] += MOUTH_WEIGHT
    return weights / weights.mean()


def reconstruction_loss(found: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute error of pixels and of the differences between neighbours."""
    error = found - pixels
    horizontal = (error[..., 1:] - error[..., :-1]).abs() * weights[..., 1:]
    vertical = (error[..., 1:, :] - error[..., :-1, :]).abs() * weights[..., 1:, :]
    return (error.abs() * weights).mean() + EDGE_WEIGHT * (horizontal.mean() + vertical.mean())


def train_autoencoder(
    path: Path | str,
    recipe: AutoencoderRecipe | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> dict[str, float]:
    """Train, standardise the latents, measure on other clips, and write to `path`; returns `measure`'s numbers."""
    recipe = recipe or AutoencoderRecipe()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    crops = np.concatenate([clip.crops for clip in crop_clips(recipe, recipe.clips, recipe.seed, jitter=True)])
    network = AutoencoderKL(AutoencoderConfig.from_dict(SHAPE))
    total, history = recipe.steps + recipe.decoder_steps, []

    def on_step(step: int, error: float) -> None:
        if step % LOG_EVERY == 0 or step == total - 1:
            history.append({"step": step, "reconstruction": round(error, 5)})
            log.info("step %d of %d: reconstruction %.4f", step, total, error)
        on_progress(step + 1, total)
        check_cancelled()

    learn_both(network, crops, recipe, rng, on_step)
    standardise_latents(network, crops[:: max(1, len(crops) // 256)])
    network.half().float()  # what the file will hold: the latents are final now
    learn_decoder(network, crops, recipe, on_step)
    network.eval().requires_grad_(False)
    numbers = measure(network.half().float(), recipe)
    about = {"config": SHAPE, "recipe": asdict(recipe), "measured": numbers}
    save_trained(path, network, about, history)
    return numbers


OnStep = Callable[[int, float], None]
"""Called after every step with its number and the reconstruction's error."""


def learn_both(
    network: AutoencoderKL, crops: np.ndarray, recipe: AutoencoderRecipe, rng: np.random.Generator, on_step: OnStep
) -> None:
    """Train encoder and decoder as a variational autoencoder (arXiv 1312.6114) with a small KL weight.

    Args:
        network: trained in place.
        crops: (n, r, r, 3) uint8.
        recipe: steps and learning rate.
        rng: of the batches.
        on_step: called after every step.
    """
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1)
    weights = pixel_weights()
    for step in range(recipe.steps):
        pixels = batch(crops, recipe, rng)
        posterior = network.encode(pixels)
        error = reconstruction_loss(network.decode(posterior.sample()), pixels, weights)
        loss = error + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
        descend(loss, network.parameters(), optimizer, schedule)
        on_step(step, error.item())


def learn_decoder(network: AutoencoderKL, crops: np.ndarray, recipe: AutoencoderRecipe, on_step: OnStep) -> None:
    """Train the decoder alone, on whole crops; latents keep their meaning, so a UNet can be trained meanwhile."""
    rng, noise = np.random.default_rng(recipe.seed + 2), torch.Generator().manual_seed(recipe.seed + 2)
    network.to(memory_format=torch.channels_last).train()
    learned = [*network.post_quant_conv.parameters(), *network.decoder.parameters()]
    optimizer = torch.optim.AdamW(learned, recipe.decoder_learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    rate = recipe.decoder_learning_rate
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, max(recipe.decoder_steps, 1), pct_start=0.1)
    weights = pixel_weights() * (KEPT_WEIGHT + 1 - fixed_mask(RESOLUTION))
    weights = weights / weights.mean()
    for step in range(recipe.decoder_steps):
        pixels = batch(crops, replace(recipe, masked=0), rng)
        with torch.no_grad():
            latents = network.encode(pixels).mean
        latents = latents + LATENT_NOISE / LATENT_SCALE * torch.randn(latents.shape, generator=noise)
        error = reconstruction_loss(network.decode(latents), pixels, weights)
        descend(error, learned, optimizer, schedule)
        on_step(recipe.steps + step, error.item())


def descend(loss: Tensor, parameters: Iterable[nn.Parameter], optimizer, schedule) -> None:
    """One step of the optimizer along the clipped gradient."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    schedule.step()


def batch(crops: np.ndarray, recipe: AutoencoderRecipe, rng: np.random.Generator) -> Tensor:
    """Whole and masked crops (b, 3, r, r) in [-1, 1], each in a light of its own."""
    picked = crops[rng.integers(0, len(crops), recipe.whole + recipe.masked)]
    light = 1 + rng.normal(0, LIGHT, (len(picked), 1, 1, 1)) + rng.normal(0, LIGHT / 2, (len(picked), 1, 1, 3))
    pixels = pixels_of(np.clip(picked * light, 0, 255).astype(np.float32))
    pixels[recipe.whole :] *= fixed_mask(RESOLUTION)
    return pixels.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def standardise_latents(network: AutoencoderKL, crops: np.ndarray) -> None:
    """Give the latents of `crops`, times LATENT_SCALE, mean 0 and deviation 1 per channel; pictures do not change.

    The last convolution of the encoder and the first of the decoder are 1x1, so that they can absorb shift and scale.
    """
    latents = torch.cat([network.encode(part).mean for part in pixels_of(crops).split(16)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    factor = 1 / (LATENT_SCALE * std)
    last, first = network.quant_conv, network.post_quant_conv
    channels = len(mean)
    first.bias += first.weight[:, :, 0, 0] @ mean  # the decoder gets x / factor + mean
    first.weight /= factor[None, :, None, None]
    last.weight[:channels] *= factor[:, None, None, None]
    last.bias[:channels] = (last.bias[:channels] - mean) * factor
    last.bias[channels:] += 2 * factor.log()


@torch.inference_mode()
def measure(network: AutoencoderKL, recipe: AutoencoderRecipe) -> dict[str, float]:
    """How accurate reconstructions are on clips that were not trained on.

    crop_correlation, correlation: of the mouth opening that FaceMesh measures, in the crops themselves and in their
    reconstructions, with the drawn one; psnr in dB; latent_std and posterior_std, scaled.
    """
    codec, fitter = AutoencoderCodec(network), MeshFitter()
    clips = crop_clips(recipe, recipe.measured_clips, recipe.seed + 1, jitter=False)
    truth, before, after, errors, latents, spreads = [], [], [], [], [], []
    for clip in clips:
        pixels = pixels_of(clip.crops)
        moments = codec.encode(pixels)
        decoded = codec.decode(moments.mean)
        truth.append(clip.opening)
        before.append(measured_openings(pixels, clip.mesh, fitter))
        after.append(measured_openings(decoded, clip.mesh, fitter))
        errors.append((decoded - pixels).square().mean((1, 2, 3)))
        latents.append(moments.mean)
        spreads.append(moments.std)
    truth, before, after = (np.concatenate(values) for values in (truth, before, after))
    return {
        "crop_correlation": float(np.corrcoef(before, truth)[0, 1]),
        "correlation": float(np.corrcoef(after, truth)[0, 1]),
        "psnr": float(10 * torch.log10(4 / torch.cat(errors).mean())),
        "latent_std": float(torch.cat(latents).std()),
        "posterior_std": float(torch.cat(spreads).mean()),
    }


def measured_openings(pixels: Tensor, mesh: np.ndarray, fitter: MeshFitter) -> np.ndarray:
    """(F,) mouth openings by FaceMesh in crops (F, 3, r, r) in [-1, 1]; mesh (F, 468, 2): roughly where the face is."""
    width, height = crop_size(RESOLUTION)
    upright = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)
    pictures = ((upright + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    found = [fitter.fit(picture, roi_from_mesh(points))[0] for picture, points in zip(pictures, mesh, strict=True)]
    return mouth_opening(np.stack(found))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--seed", type=int, default=AutoencoderRecipe.seed)
    parser.add_argument("--steps", type=int, default=AutoencoderRecipe.steps)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    log.info("%s", train_autoencoder(arguments.out, AutoencoderRecipe(seed=arguments.seed, steps=arguments.steps)))


if __name__ == "__main__":
    main()
