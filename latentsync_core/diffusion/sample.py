"""Denoising: from one frame of noise to the face latents of a whole clip, window by window."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .guidance import DEFAULT_SCALE, Guidance, as_guidance
from .schedule import make_schedule
from .windows import WINDOW_FRAMES, Window, plan_windows

NoisePredictor = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``predict(sample (b,13,f,h,w), timestep, audio_tokens (b*f,n,d)) -> (b,4,f,h,w)``: the UNet, or a host's wrapper."""


class NonFiniteLatentsError(ArithmeticError):
    """Denoising left NaN or infinity behind, as half precision can on some devices."""


def shared_noise(seed: int, height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """The one frame of N(0,1) noise, (1, 4, 1, height, width) float32, that every frame of a clip starts from.

    height, width: in latent pixels. Drawn on the CPU, so that a seed means the same on every machine.
    """
    generator = torch.Generator().manual_seed(seed) if generator is None else generator
    return torch.randn((1, 4, 1, height, width), generator=generator)


@torch.inference_mode()
def sample_windows(
    unet: NoisePredictor,
    noise: Tensor,
    condition: Tensor,
    audio_tokens: Tensor,
    steps: int = 20,
    guidance: Guidance | float | Sequence[float] = DEFAULT_SCALE,
    window: int = WINDOW_FRAMES,
    *,
    windows: Iterable[Window] | None = None,
    solver: str = "ddim",
    null_tokens: Tensor | None = None,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> Tensor:
    """Denoise the face latents of a clip (REFERENCE section 1, "Diffusion").

    noise: (1, 4, 1, h, w), repeated for every frame, or (1, 4, F, h, w).
    condition: (1, 9, F, h, w): mask 1, masked-face latents 4, reference latents 4.
    audio_tokens: (F, n, d). null_tokens: what stands for "no voice", broadcastable to (F, n, d); zeros by default.
    windows: which frames to denoise together; by default the whole clip in windows of `window` frames.
    on_progress counts denoising steps over all windows.
    Returns (1, 4, F, h, w) float32 scaled latents on the condition's device, zero where no window lies.
    Raises NonFiniteLatentsError when a window comes out as NaN or infinity.
    """
    frames = condition.shape[2]
    planned = plan_windows([True] * frames, window=window) if windows is None else tuple(windows)
    latents = torch.zeros((1, 4, *condition.shape[2:]), dtype=torch.float32, device=condition.device)
    done, total = 0, steps * len(planned)

    def step_done() -> None:
        nonlocal done
        done += 1
        on_progress(done, total)
        check_cancelled()

    check_cancelled()
    for span in planned:
        part = slice(span.start, span.stop)
        latents[:, :, part] = denoise_window(
            unet,
            noise.expand(-1, -1, len(span), -1, -1) if noise.shape[2] == 1 else noise[:, :, part],
            condition[:, :, part],
            audio_tokens[part],
            torch.zeros_like(audio_tokens[part]) if null_tokens is None else null_tokens.expand_as(audio_tokens)[part],
            make_schedule(solver, steps),
            as_guidance(guidance),
            step_done,
        )
        if not torch.isfinite(latents[:, :, part]).all():
            raise NonFiniteLatentsError(f"frames {span.start} to {span.stop - 1}")
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

    The network may run in half precision; the latents between steps do not, so errors do not add up.
    """
    dtype = getattr(unet, "dtype", torch.float32)
    condition, voice, null = (t.to(dtype) for t in (condition, voice, null))
    latents = noise.to(device=condition.device, dtype=torch.float32) * schedule.init_noise_sigma
    steps = len(schedule.timesteps)
    for step, timestep in enumerate(schedule.timesteps):
        sample = torch.cat([schedule.scale_model_input(latents, timestep).to(dtype), condition], dim=1)
        scale = guidance.scale_at(step, steps)
        if scale > 1:
            predicted = unet(sample.repeat(2, 1, 1, 1, 1), timestep, torch.cat([null, voice])).float()
            predicted = guidance.combine(*predicted.chunk(2), scale)
        else:
            predicted = unet(sample, timestep, voice).float()
        latents = schedule.step(predicted, timestep, latents).prev_sample
        step_done()
    return latents
