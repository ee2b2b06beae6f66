"""Groups of windows on their way through the steps of a schedule, as many windows at once as the memory holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .batching import WindowBatch, batches
from .guidance import as_guidance
from .prediction import Conditioning, GuidedStep, NoisePredictor, WindowInputs, window_inputs
from .sampler_settings import SamplerSettings
from .schedule import make_schedule, training_alphas
from .windows import WindowGroup

OnClean = Callable[[int, Tensor], None]
"""(first frame, clean latents (1, 4, f, h, w)) of a group of windows, as predicted so far."""


@dataclass
class GroupDenoising:
    """A group between two steps.

    windows: the network's inputs for each. schedule: the solver with its history. latents: (1, 4, f, h, w) float32.
    start: its first frame.
    """

    windows: list[WindowInputs]
    schedule: Any  # diffusers states no common interface
    latents: Tensor
    start: int

    @classmethod
    def begin(
        cls,
        unet: NoisePredictor,
        noise: Tensor,
        conditioning: Conditioning,
        group: WindowGroup,
        settings: SamplerSettings,
    ) -> "GroupDenoising":
        """Before the first step; arguments as for `sample_clip`."""
        dtype, device, reach = getattr(unet, "dtype", torch.float32), settings.device, group.reach
        shared = noise.shape[2] == 1
        start = noise.expand(-1, -1, len(reach), -1, -1) if shared else noise[:, :, reach.start : reach.stop]
        schedule: Any = make_schedule(settings.solver, settings.steps)
        return cls(
            windows=window_inputs(group.windows, conditioning, dtype, device, settings.reuses),
            schedule=schedule,
            latents=start.to(device).float() * schedule.init_noise_sigma,
            start=reach.start,
        )


def denoise_groups(
    unet: NoisePredictor,
    groups: Sequence[GroupDenoising],
    settings: SamplerSettings,
    batch: WindowBatch,
    step_done: Callable[[], None],
    on_clean: OnClean | None = None,
) -> None:
    """Take groups through every step of a schedule, side by side.

    Six arguments: what is denoised and how, and one callback for a count, one for pictures.

    Args:
        unet: the noise predictor.
        groups: before their first step; after it their latents are the result.
        settings: steps, guidance, solver and reuse.
        batch: how many windows, of whatever group, go through the network at once.
        step_done: called after each window of each step.
        on_clean: called after each step of each group with what its faces will be by the prediction so far.

    At every step the noise predictions of a group's windows are fused, then one solver step is taken for all its
    frames, so that a multistep solver keeps one history. The network may run in half precision; the latents between
    steps do not, so errors do not add up.
    """
    guidance, timesteps = as_guidance(settings.guidance), groups[0].schedule.timesteps
    placed = [(place, window) for place, group in enumerate(groups) for window in group.windows]
    for step, timestep in enumerate(timesteps):
        network = GuidedStep(unet, timestep, guidance, guidance.scale_at(step, len(timesteps)))
        scaled = [group.schedule.scale_model_input(group.latents, timestep) for group in groups]
        fused = [torch.zeros_like(latents) for latents in scaled]
        for part in batches(placed, lambda item: len(item[1].voice), batch):
            windows = [window for _, window in part]
            for window in windows:
                window.forget(step, settings.reuse, settings.null_interval)
            noisy = torch.cat([scaled[place][:, :, window.part] for place, window in part])  # (w, 4, f, h, w)
            predicted = predict_batch(network, noisy, windows, batch)
            for (place, window), noise in zip(part, predicted, strict=True):
                fused[place][:, :, window.part] += noise * window.weight
                step_done()
        for group, noisy, predicted in zip(groups, scaled, fused, strict=True):
            if on_clean is not None:
                on_clean(group.start, clean_latents(noisy, predicted, timestep))
            group.latents = group.schedule.step(predicted, timestep, group.latents).prev_sample


def clean_latents(noisy: Tensor, predicted_noise: Tensor, timestep: Tensor) -> Tensor:
    """What latents of unit variance, (1, 4, f, h, w), are without the noise predicted in them at a timestep."""
    alpha = training_alphas()[int(timestep)]
    return (noisy - (1 - alpha) ** 0.5 * predicted_noise) / alpha**0.5


def predict_batch(network: GuidedStep, latents: Tensor, windows: Sequence[WindowInputs], batch: WindowBatch) -> Tensor:
    """The prediction for several windows at once, or one by one where the memory does not suffice."""
    try:
        return network.predict(latents, windows)
    except torch.OutOfMemoryError:
        if len(windows) == 1:
            raise
    # Outside of the handler, whose error holds on to what was computed so far.
    batch.go_on_one_by_one()
    return torch.cat([network.predict(*one) for one in zip(latents.split(1), ([w] for w in windows), strict=True)])
