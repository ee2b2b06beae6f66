"""Denoising: from one frame of noise to the face latents of a whole clip, window by window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..choices import DEFAULT_GUIDANCE, WINDOW_FRAMES
from ..conditioning import null_like
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .guidance import Guidance, as_guidance
from .schedule import make_schedule
from .windows import Window, plan_windows

NoisePredictor = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``predict(sample (b,13,f,h,w), timestep, audio_tokens (b*f,n,d)) -> (b,4,f,h,w)``: the UNet, or a host's wrapper."""


class NonFiniteLatentsError(ArithmeticError):
    """Denoising left NaN or infinity behind, as half precision can on some devices."""


def shared_noise(side: int, generator: torch.Generator) -> Tensor:
    """The one frame of N(0,1) noise that every frame of a clip starts from: (1, 4, 1, side, side) float32.

    side: in latent pixels. generator: on the CPU, so that a seed means the same on every machine.
    """
    return torch.randn((1, 4, 1, side, side), generator=generator)


class Conditioning(Protocol):
    """Whatever can say what a window is denoised from."""

    def window(self, span: Window) -> tuple[Tensor, Tensor, Tensor]:
        """condition (1, 9, f, h, w), voice tokens (f, n, d), null tokens (f, n, d).

        Where the null's faces differ too, condition has two rows, the null's first.
        """


@dataclass(frozen=True)
class TensorConditioning:
    """Conditioning in whole-clip tensors: (1 or 2, 9, F, h, w), (F, n, d), and the null (1, n, d) or (F, n, d)."""

    condition: Tensor
    audio_tokens: Tensor
    null_tokens: Tensor | None = None

    def window(self, span: Window) -> tuple[Tensor, Tensor, Tensor]:
        part = slice(span.start, span.stop)
        voice = self.audio_tokens[part]
        null = self.null_tokens
        if null is not None and len(null) > 1:
            null = null[part]
        return self.condition[:, :, part], voice, null_like(voice, null)


def sample_windows(
    unet: NoisePredictor,
    noise: Tensor,
    condition: Tensor,
    audio_tokens: Tensor,
    steps: int = 20,
    guidance: Guidance | float | Sequence[float] = DEFAULT_GUIDANCE,
    window: int = WINDOW_FRAMES,
    *,
    windows: Sequence[Window] | None = None,
    null_tokens: Tensor | None = None,
    solver: str = "ddim",
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Tensor:
    """Denoise the face latents of a clip given as tensors (REFERENCE section 1, "Diffusion").

    noise: (1, 4, 1, h, w), repeated for every frame, or (1, 4, F, h, w).
    condition: (1, 9, F, h, w): mask 1, masked-face latents 4, reference latents 4.
    audio_tokens: (F, n, d). null_tokens: what stands for "no voice", (1, n, d); zeros by default.
    window: frames denoised together, the last window may be shorter; `windows` says it frame by frame instead.
    Runs on the condition's device. Returns (1, 4, F, h, w) float32 scaled latents on the CPU.
    """
    frames = condition.shape[2]
    return sample_clip(
        unet,
        noise,
        TensorConditioning(condition, audio_tokens, null_tokens),
        frames,
        plan_windows([True] * frames, window=window) if windows is None else windows,
        steps,
        guidance,
        solver=solver,
        device=condition.device,
        on_progress=on_progress,
        check_cancelled=check_cancelled,
    )


@torch.inference_mode()
def sample_clip(
    unet: NoisePredictor,
    noise: Tensor,
    conditioning: Conditioning,
    frames: int,
    windows: Sequence[Window],
    steps: int = 20,
    guidance: Guidance | float | Sequence[float] = DEFAULT_GUIDANCE,
    *,
    solver: str = "ddim",
    device: torch.device | str = "cpu",
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Tensor:
    """Denoise every window of a clip of `frames` frames, one after the other.

    device: where the network runs; latents come back to the CPU. on_progress counts denoising steps over all windows.
    Returns (1, 4, frames, h, w) float32 scaled latents, zero where no window lies.
    Raises NonFiniteLatentsError when a window comes out as NaN or infinity.
    """
    guidance = as_guidance(guidance)
    latents = torch.zeros((1, 4, frames, *noise.shape[-2:]), dtype=torch.float32)
    done, total = 0, steps * len(windows)

    def step_done() -> None:
        nonlocal done
        done += 1
        on_progress(done, total)
        check_cancelled()

    check_cancelled()
    for span in windows:
        part = slice(span.start, span.stop)
        start = noise.expand(-1, -1, len(span), -1, -1) if noise.shape[2] == 1 else noise[:, :, part]
        inputs = (start, *conditioning.window(span))
        schedule = make_schedule(solver, steps)
        denoised = denoise_window(unet, *(t.to(device) for t in inputs), schedule, guidance, step_done).cpu()
        if not torch.isfinite(denoised).all():
            raise NonFiniteLatentsError(f"frames {span.start} to {span.stop - 1}")
        latents[:, :, part] = denoised
    return latents


def denoise_window(
    unet: NoisePredictor,
    noise: Tensor,
    condition: Tensor,
    voice: Tensor,
    null: Tensor,
    schedule,
    guidance: Guidance,
    step_done: Callable[[], None],
) -> Tensor:
    """Run one window through every step of `schedule`: (1, 4, f, h, w) noise -> latents, float32 throughout.

    condition: (1, 9, f, h, w), or (2, 9, f, h, w) with the null's row first.
    The network may run in half precision; the latents between steps do not, so errors do not add up.
    """
    dtype = getattr(unet, "dtype", torch.float32)
    condition, voice, null = (t.to(dtype) for t in (condition, voice, null))
    latents = noise.float() * schedule.init_noise_sigma
    steps = len(schedule.timesteps)
    for step, timestep in enumerate(schedule.timesteps):
        noisy = schedule.scale_model_input(latents, timestep).to(dtype)
        scale = guidance.scale_at(step, steps)
        if scale > 1:
            sample = torch.cat([side.expand(2, -1, -1, -1, -1) for side in (noisy, condition)], dim=1)
            predicted = unet(sample, timestep, torch.cat([null, voice])).float()
            predicted = guidance.combine(*predicted.chunk(2), scale)
        else:
            predicted = unet(torch.cat([noisy, condition[-1:]], dim=1), timestep, voice).float()
        latents = schedule.step(predicted, timestep, latents).prev_sample
        step_done()
    return latents
