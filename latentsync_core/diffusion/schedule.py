"""The diffusion schedules: DDIM, consistency and diffusers' solvers, all with LatentSync's betas."""

from typing import TYPE_CHECKING

import torch

from ..options import check_steps
from .consistency import ConsistencySchedule
from .ddim import DDIMSchedule, leading_timesteps, trailing_timesteps

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

TRAIN_STEPS = 1000
SETTINGS = {
    "num_train_timesteps": TRAIN_STEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
SCHEDULERS = {  # solvers of diffusers: the class, and what it needs besides
    "dpm++2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
}
TRAILING = {"ddim-trailing": DDIMSchedule, "lcm": ConsistencySchedule}


def make_schedule(solver: str, steps: int) -> "DDIMSchedule | SchedulerMixin":
    """A fresh schedule of `steps` denoising steps, starting near t = 951 for 20 steps (REFERENCE section 1).

    solver: "ddim" (the reference's, eta 0), "dpm++2m", "unipc" or "euler"; for few-step students "ddim-trailing",
    which starts at t = 999, or "lcm". Some keep a history, so every group of windows needs its own schedule. Raises
    LatentSyncError for an unknown solver or a step count outside 1..500.
    """
    check_steps(solver, steps)
    if solver == "ddim":
        return DDIMSchedule(training_alphas(), leading_timesteps(TRAIN_STEPS, steps, SETTINGS["steps_offset"]))
    if solver in TRAILING:
        return TRAILING[solver](training_alphas(), trailing_timesteps(TRAIN_STEPS, steps))
    import diffusers  # seconds, which a run with LatentSync's own solver does not wait for

    name, options = SCHEDULERS[solver]
    schedule = getattr(diffusers, name)(**SETTINGS, **options)
    schedule.set_timesteps(steps)
    return schedule


def training_alphas() -> torch.Tensor:
    """(1000,) float32: the share of the signal's variance at every training timestep (scaled linear betas)."""
    start, end = SETTINGS["beta_start"] ** 0.5, SETTINGS["beta_end"] ** 0.5
    betas = torch.linspace(start, end, TRAIN_STEPS, dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, dim=0)


def reference_sigmas(steps: int, solver: str = "ddim") -> torch.Tensor:
    """The schedule of "ddim" or "ddim-trailing" in k-diffusion's terms: (steps + 1,) noise levels, falling.

    Euler steps over them equal the reference when the noise is scaled by sqrt(1 + s^2) / s for the first level s. The
    last level is the model's smallest, 0.029, not 0, since the reference ends there (REFERENCE section 1).
    """
    schedule = make_schedule(solver, steps)
    alphas = schedule.alphas_cumprod[torch.cat([schedule.timesteps, torch.zeros(1, dtype=torch.int64)])].double()
    return ((1 - alphas) / alphas).sqrt().float()
