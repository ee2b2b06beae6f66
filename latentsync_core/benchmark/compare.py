"""This UNet and sampler beside the reference's own, on the same weights and inputs, in turn in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..audio.tokens import STEPS_PER_FRAME
from ..diffusion import make_schedule, sample_windows, shared_noise
from ..errors import LatentSyncError
from ..faces import LATENT_STRIDE, fixed_mask, latent_mask
from ..models.loading import Models
from ..models.unet import UNet3DConditionModel
from ..models.unet.reuse import DeepFeatures
from ..options import DEFAULT_GUIDANCE, DEFAULT_STEPS, PUBLISHED_REUSE, WINDOW_FRAMES
from .reference_modules import deep_cache_helper, reference_unet
from .timing import PairedTimings, alternate

HIDDEN_STATES = 5  # of Whisper tiny, per feature step
REFERENCE_LEVELS = 4
SEED = 0


@dataclass(frozen=True)
class Comparison:
    """One thing done by both: every run in `timings`.

    difference: the largest between the two results. size: the largest value in the reference's. unit: of both.
    """

    name: str
    timings: PairedTimings
    difference: float
    size: float
    unit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        timings = self.timings
        return {
            "name": self.name,
            "ours_ms": [duration._asdict() for duration in timings.ours],
            "reference_ms": [duration._asdict() for duration in timings.reference],
            "ratio": timings.ratio._asdict(),
            "difference": self.difference,
            "size": self.size,
            "unit": self.unit,
        }


@dataclass(frozen=True)
class Sampling:
    """What is denoised and how: pixels, frames of the window, steps, every how many of them is full, guidance scale."""

    resolution: int = 256
    frames: int = WINDOW_FRAMES
    steps: int = DEFAULT_STEPS
    reuse: int = PUBLISHED_REUSE
    guidance: float = DEFAULT_GUIDANCE


@dataclass(frozen=True)
class SharedWindow:
    """The two networks over one set of weights, and what both are given: random, in the weights' dtype.

    noise (1, 4, 1, h, w), condition (1, 9, f, h, w), tokens (f, n, d).
    """

    ours: UNet3DConditionModel
    reference: nn.Module
    noise: Tensor
    condition: Tensor
    tokens: Tensor
    sampling: Sampling

    @classmethod
    def draw(cls, checkout: Path, models: Models, sampling: Sampling) -> "SharedWindow":
        """Inputs from a fixed seed for the UNet of `models` and the checkout's."""
        unet, generator = models.unet, torch.Generator().manual_seed(SEED)
        side, frames = sampling.resolution // LATENT_STRIDE, sampling.frames
        latents = torch.randn((1, 8, frames, side, side), generator=generator)
        mask = latent_mask(fixed_mask(sampling.resolution)).expand(1, 1, frames, side, side)
        token_count, width = STEPS_PER_FRAME * HIDDEN_STATES, unet.config.cross_attention_dim
        tokens = torch.randn((frames, token_count, width), generator=generator)
        placed = {"device": models.device, "dtype": unet.dtype}
        return cls(
            ours=unet,
            reference=reference_over(checkout, unet),
            noise=shared_noise(side, generator).to(**placed),
            condition=torch.cat([mask, latents], dim=1).to(**placed),
            tokens=tokens.to(**placed),
            sampling=sampling,
        )

    @property
    def device(self) -> torch.device:
        """Where both networks are."""
        return self.noise.device

    def sides(self) -> tuple[Tensor, Tensor]:
        """condition (b, 9, f, h, w) and tokens (b*f, n, d) of a step; where it is guided, the null side comes first."""
        if self.sampling.guidance <= 1:
            return self.condition, self.tokens
        return torch.cat([self.condition] * 2), torch.cat([torch.zeros_like(self.tokens), self.tokens])

    def sample(self) -> Tensor:
        """The networks' input at the first step: (b, 13, f, h, w), one sample for both sides, as sampling gives it."""
        noise = self.noise.expand(-1, -1, self.sampling.frames, -1, -1)
        sides = 2 if self.sampling.guidance > 1 else 1
        return torch.cat([noise, self.condition], dim=1).expand(sides, -1, -1, -1, -1)


def reference_over(checkout: Path, unet: UNet3DConditionModel) -> nn.Module:
    """The checkout's UNet over the very tensors of `unet`, so that both are equally placed and no memory is doubled.

    Raises LatentSyncError for a network of other than four levels, of which the reference misplaces the motion modules.
    """
    levels = len(unet.config.block_out_channels)
    if levels != REFERENCE_LEVELS:
        raise LatentSyncError(
            f"The checkpoint's UNet has {levels} levels, the reference's code holds {REFERENCE_LEVELS}: compare with a "
            "published checkpoint, or with seeded weights."
        )
    shape = {name: value for name, value in unet.config.to_dict().items() if name != "null_audio_tokens"}
    with torch.device("meta"):
        reference = reference_unet(checkout)(**shape)
    weights = {name: tensor for name, tensor in unet.state_dict().items() if name != "null_audio_tokens"}
    nn.Module.load_state_dict(reference, weights, assign=True)  # its own method knows no `assign`
    return reference.eval().requires_grad_(False)


@torch.inference_mode()
def compare_full_step(window: SharedWindow, runs: int) -> Comparison:
    """One whole pass of the UNet, both sides of the guidance in a batch."""
    sample, (_, tokens), timestep = window.sample(), window.sides(), timesteps_of(window)[0]
    doubled = sample.contiguous()
    timings = alternate(
        partial(window.ours, sample, timestep, tokens),
        lambda: window.reference(doubled, timestep, encoder_hidden_states=tokens).sample,
        runs=runs,
        device=window.device,
    )
    return compared("UNet, full step", timings)


@torch.inference_mode()
def compare_cached_step(window: SharedWindow, runs: int) -> Comparison:
    """A pass that reuses the deep features of a step before, in the reference by DeepCache."""
    sample, (_, tokens), timesteps = window.sample(), window.sides(), timesteps_of(window)
    doubled, kept = sample.contiguous(), [DeepFeatures() for _ in range(len(sample))]
    window.ours(sample, timesteps[0], tokens, kept)
    with deep_cache(window.reference, window.sampling):
        window.reference(doubled, timesteps[0], encoder_hidden_states=tokens)
        timings = alternate(
            partial(window.ours, sample, timesteps[1], tokens, kept),
            lambda: window.reference(doubled, timesteps[1], encoder_hidden_states=tokens).sample,
            runs=runs,
            device=window.device,
        )
    return compared("UNet, cached step", timings)


@torch.inference_mode()
def compare_denoising(window: SharedWindow, runs: int) -> Comparison:
    """A window through all steps, as `sample_windows` takes it and as the published scripts do."""
    sampling = window.sampling

    def ours() -> Tensor:
        return sample_windows(
            window.ours,
            window.noise,
            window.condition,
            window.tokens,
            steps=sampling.steps,
            guidance=sampling.guidance,
            window=sampling.frames,
            reuse=sampling.reuse,
        )

    with deep_cache(window.reference, sampling):
        timings = alternate(ours, partial(reference_denoising, window), runs=runs, device=window.device)
    every = "" if sampling.reuse == 1 else f", every {sampling.reuse}. full"
    return compared(f"{sampling.steps} steps{every}", timings)


def reference_denoising(window: SharedWindow) -> Tensor:
    """The published pipeline's loop over the steps: (1, 4, f, h, w) on the CPU."""
    schedule, scale = make_schedule("ddim", window.sampling.steps), window.sampling.guidance
    condition, tokens = window.sides()
    latents = window.noise.expand(-1, -1, window.sampling.frames, -1, -1)
    for timestep in schedule.timesteps:
        sample = torch.cat([latents.expand(len(condition), -1, -1, -1, -1), condition], dim=1)
        predicted = window.reference(sample, timestep, encoder_hidden_states=tokens).sample
        if scale > 1:
            null, voice = predicted.chunk(2)
            predicted = null + scale * (voice - null)
        latents = schedule.step(predicted, timestep, latents).prev_sample
    return latents.float().cpu()


@contextmanager
def deep_cache(unet: nn.Module, sampling: Sampling) -> Iterator[None]:
    """DeepCache switched on as the reference's scripts do; off where every step is full."""
    if sampling.reuse == 1:
        yield
        return
    schedule = make_schedule("ddim", sampling.steps)
    helper = deep_cache_helper()(pipe=SimpleNamespace(unet=unet, scheduler=schedule))
    helper.set_params(cache_interval=sampling.reuse, cache_branch_id=0)
    helper.enable()
    try:
        yield
    finally:
        helper.disable()


def timesteps_of(window: SharedWindow) -> Tensor:
    """Of its steps, falling."""
    return make_schedule("ddim", window.sampling.steps).timesteps


def compared(name: str, timings: PairedTimings) -> Comparison:
    """A comparison of two tensors that should be equal."""
    ours, reference = (result.float() for result in timings.results)
    return Comparison(name, timings, float((ours - reference).abs().max()), float(reference.abs().max()))
