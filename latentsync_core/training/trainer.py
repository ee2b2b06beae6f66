"""The training loop: from a config to checkpoints, logs and sample grids.

Every random draw of step k comes from a generator seeded by (seed, k, rank), so a run that is resumed at step k gives
the same weights as an uninterrupted one.
"""

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..diffusion import SamplerSettings
from ..errors import LatentSyncError
from ..faces import latent_mask
from ..models.syncnet import load_syncnet
from ..progress import Callbacks, CheckCancelled, never_cancelled
from .batches import TrainingWindows
from .checkpointing import STATE_NAME, TrainingState
from .config import LossConfig, TrainConfig
from .dataset import Clip, Preparation, find_clips, prepare_clips
from .distillation import build_distillation
from .distributed import Processes, process_group
from .losses import SYNCNET_FPS, PictureLosses, PixelLoss, SyncLoss, latent_weights
from .networks import TrainedNetworks, load_networks
from .noise import training_schedule
from .objectives import Denoising, Objective, OneStep, Predict, WindowSampling
from .precision import mixed_precision
from .run_log import RunLog
from .sample_grids import GridSampler

log = logging.getLogger(__name__)

FINAL_RATE = 0.1  # of the learning rate, at the end of a cosine


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    callbacks: Callbacks | None = None,
) -> Path:
    """Train as `config` says, alone or as one of torchrun's processes, and return the last checkpoint's path.

    resume: continue from the state in the output folder, with the identical next step; without it a folder that holds
    a run is refused. callbacks.on_progress counts the steps of the stage "train". Cancelling loses the steps after the
    last saved state. Raises LatentSyncError for what a user can correct.
    """
    if not resume and (config.output / STATE_NAME).exists():
        raise LatentSyncError(
            f"{config.output} holds a run already; pass --resume to go on with it, or choose another output."
        )
    callbacks = callbacks or Callbacks()
    with process_group(config.device) as processes:
        trainer = Trainer(config, processes, callbacks.check_cancelled)
        if resume:
            trainer.state.restore(config.output)
        return trainer.run(callbacks)


class Trainer:
    """A run ready to train; `state` holds everything that changes."""

    def __init__(self, config: TrainConfig, processes: Processes, check_cancelled: CheckCancelled = never_cancelled):
        self.config, self.processes, self.device = config, processes, processes.device
        self.networks = load_networks(config, self.device)
        self.conditioning = self.networks.conditioning
        pictures = build_picture_losses(config.loss, self.networks)
        self.objective = build_objective(config, self.networks, pictures, self.predict_averaged)
        clips, held_out = prepared_clips(config, self.networks, processes, check_cancelled)
        resolution = self.networks.models.resolution
        self.windows = TrainingWindows(
            clips, config.window, resolution, inputs=self.networks.inputs, with_pictures=pictures.used
        )
        if pictures.sync is not None:
            self.windows.require_rate(SYNCNET_FPS)
        self.grids = grid_samplers(held_out or clips, config, self.networks)
        self.state = TrainingState(self.networks, config)
        self.network = processes.wrap(self.networks.unet.train())
        log.info("%d windows of %d clips, %d held out", len(self.windows), len(clips), len(held_out))

    def run(self, callbacks: Callbacks) -> Path | None:
        """All remaining steps; the main process writes the files."""
        config, watch = self.config, self.config.watch
        record = RunLog(config.output, self.state.step) if self.processes.is_main else None
        path, last, sums, since = None, config.optimizer.steps, {}, time.monotonic()
        callbacks.on_progress("train", self.state.step, last)
        while self.state.step < last:
            callbacks.check_cancelled()
            for name, value in self.step().items():
                sums.setdefault(name, []).append(value)
            step = self.state.step
            callbacks.on_progress("train", step, last)
            if record is None:
                continue
            if step == last or due(step, watch.log_every):
                took, since = time.monotonic() - since, time.monotonic()
                rate = len(sums["loss"]) / took
                record.numbers(step, {name: float(np.mean(values)) for name, values in sums.items()} | {"rate": rate})
                sums = {}
            if step == last or due(step, watch.sample_every):
                self.sample_grids(record)
            if step == last or due(step, watch.save_every):
                path = self.save()
                since = time.monotonic()
        self.processes.wait()
        if record is not None:
            record.close()
        return path

    def step(self) -> dict[str, float]:
        """One update of the weights; returns the losses by name, the gradient's norm and the learning rate."""
        settings, state = self.config.optimizer, self.state
        generator = step_generator(self.config.seed, state.step, self.processes.rank)
        rate = learning_rate(state.step, settings)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        found: dict[str, float] = {}
        for part in range(settings.accumulate):
            with self.processes.without_sync(self.network, part < settings.accumulate - 1):
                parts = self.losses_of_a_batch(settings.batch // settings.accumulate, generator)
                state.scaler.scale(parts["loss"] / settings.accumulate).backward()
            for name, value in parts.items():
                found[name] = found.get(name, 0.0) + float(value.detach()) / settings.accumulate
        if not math.isfinite(found["loss"]):
            raise LatentSyncError(
                f"The loss is {found['loss']} at step {state.step + 1}; lower optimizer.learning_rate or use "
                f"precision fp32 or bf16."
            )
        state.scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(state.weights.values(), settings.max_grad_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        if state.ema is not None:
            state.ema.step(state.weights.values())
        state.step += 1
        return {**found, "gradient": float(norm), "learning_rate": rate}

    def losses_of_a_batch(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw `count` windows, predict, and compute the losses, as the objective says."""
        batch = self.windows.draw(count, self.conditioning, generator).to(self.device)
        return self.objective.losses(batch, self.predict, generator)

    def predict(self, sample: Tensor, timesteps: Tensor, voice: Tensor) -> Tensor:
        """A forward pass of the UNet in the config's precision; shapes as of `objectives.Predict`."""
        with mixed_precision(self.device, self.config.optimizer.precision):
            return self.network(sample, timesteps, voice)

    @torch.no_grad()
    def predict_averaged(self, sample: Tensor, timesteps: Tensor, voice: Tensor) -> Tensor:
        """The same with the averaged weights, without gradient."""
        with self.state.averaged():
            return self.predict(sample, timesteps, voice)

    def sample_grids(self, record: RunLog) -> None:
        """Sample every grid with the averaged weights, and log the images and the mean correlation of the lips."""
        unet = self.networks.unet
        correlations = []
        with self.state.averaged():
            unet.eval()
            for sampler in self.grids:
                grid = sampler.draw(unet, self.conditioning, self.objective)
                record.picture(self.state.step, grid.name, grid.image())
                correlations.append(grid.correlation)
            unet.train()
        known = [value for value in correlations if not math.isnan(value)]
        if known:
            record.numbers(self.state.step, {"lip_correlation": float(np.mean(known))})

    def save(self) -> Path:
        """Write the state, and the checkpoint that inference takes."""
        self.state.save(self.config.output)
        return self.state.export(self.config.output, {"clips": str(len(self.windows.clips))})


def due(step: int, every: int) -> bool:
    """Whether `step` is a multiple of `every`; 0 means only at the end."""
    return every > 0 and step % every == 0


def step_generator(seed: int, step: int, rank: int) -> torch.Generator:
    """The generator of one step of one process."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def learning_rate(step: int, settings) -> float:
    """The rate of step `step`, counted from 0: linear warm-up, then constant or a cosine down to a tenth."""
    rate = settings.learning_rate
    if step < settings.warmup:
        return rate * (step + 1) / settings.warmup
    if settings.decay == "constant":
        return rate
    share = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return rate * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * share)) / 2)


def build_picture_losses(settings: LossConfig, networks: TrainedNetworks) -> PictureLosses:
    """The losses on pictures whose weight in the config is above 0."""
    models = networks.models
    autoencoder, mask = models.codec.autoencoder, networks.inputs.mask(models.resolution)
    pixel = PixelLoss(autoencoder, mask, settings.pixel_frames) if settings.pixel else None
    sync = SyncLoss(autoencoder, load_syncnet(settings.syncnet, models.device)) if settings.sync else None
    return PictureLosses(pixel=pixel, pixel_weight=settings.pixel, sync=sync, sync_weight=settings.sync)


def build_objective(
    config: TrainConfig, networks: TrainedNetworks, pictures: PictureLosses, averaged: Predict
) -> Objective:
    """What the config's generator is trained to predict. averaged: a forward pass of the averaged weights."""
    models, watch = networks.models, config.watch
    mask = latent_mask(networks.inputs.mask(models.resolution))
    weights = latent_weights(mask, config.loss.kept_weight)
    if config.model.generator == "musetalk":
        return OneStep(pictures=pictures, weights=weights)
    if config.distill is not None:
        return build_distillation(config, networks, averaged, weights)
    sampler = SamplerSettings(steps=watch.sample_steps, guidance=watch.guidance, device=models.device)
    return Denoising(
        settings=config.loss,
        conditioning=networks.conditioning,
        dropout=config.conditioning.dropout(),
        pictures=pictures,
        weights=weights,
        schedule=training_schedule(),
        sampling=WindowSampling(networks.conditioning, sampler, config.window),
    )


def prepared_clips(
    config: TrainConfig, networks: TrainedNetworks, processes: Processes, check_cancelled: CheckCancelled
) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on and clips held out; one process prepares them, the others read what it wrote."""
    sources = find_clips(config.data.clips)
    if config.data.held_out >= len(sources):
        raise LatentSyncError(
            f"{config.data.held_out} clips are to be held out of {len(sources)} in {config.data.clips}; none would be "
            f"left: lower data.held_out."
        )
    models, cache = networks.models, config.data.cache or config.output / "cache"
    preparation = Preparation.of(cache, models, models.resolution, config.data.alignment, networks.inputs)

    split = len(sources) - config.data.held_out
    if not processes.is_main:
        processes.wait()
    clips = prepare_clips(sources[:split], preparation, check_cancelled=check_cancelled)
    held_out = []
    if config.data.held_out:
        held_out = prepare_clips(sources[split:], preparation, check_cancelled=check_cancelled)
    if processes.is_main:
        processes.wait()
    return clips, held_out


def grid_samplers(clips: Sequence[Clip], config: TrainConfig, networks: TrainedNetworks) -> list[GridSampler]:
    """One for each of the first clips that are long enough."""
    models, inputs = networks.models, networks.inputs
    samplers = (
        GridSampler(clip, config.window, inputs, models.resolution, models.codec, config.seed) for clip in clips
    )
    return [sampler for sampler in samplers if sampler.possible][: config.watch.strips]
