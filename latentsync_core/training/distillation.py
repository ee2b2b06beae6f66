"""Few-step students: a teacher's guided steps over a stretch of noise levels, learned to be done in one pass.

A student is used without guidance, since its teacher's is folded in (arXiv 2210.03142, at one fixed strength). Two
methods: `TrajectoryDistillation` takes the teacher's own DDIM steps from one of the student's timesteps to the next and
asks for that point (arXiv 2202.00512, with all steps of a stretch at once); `ConsistencyDistillation` asks for the same
clean latents from neighbouring points of a trajectory (latent consistency, arXiv 2310.04378).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Guidance, NoisePredictor, SamplerSettings, make_schedule
from ..diffusion.consistency import consistency_function
from ..diffusion.ddim import DDIMSchedule, ddim_step
from ..student import DISTILLED_SCALE
from .batches import TrainingBatch
from .config import TrainConfig
from .networks import TrainedNetworks
from .noise import predicted_latents
from .objectives import Predict, WindowSampling
from .teacher import Points, Teacher, points, teacher_predictor

HUBER_C = 0.001  # of the pseudo-Huber loss, as in the paper's own code: nearly the absolute error


@dataclass(frozen=True)
class LatentDistance:
    """How far predicted clean latents are from their target, both (b, 4, f, h, w).

    kind: "huber" (pseudo-Huber) or "l2". weights: (h, w) of `losses.latent_weights`."""

    kind: str
    weights: Tensor

    def __call__(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The mean, every pixel weighted."""
        error = (predicted.float() - target.float()).square()
        if self.kind == "huber":
            error = (error + HUBER_C**2).sqrt() - HUBER_C
        return (error * self.weights.to(error.device)).mean()


def clean_between(start: Tensor, end: Tensor, here: Tensor, there: Tensor) -> Tensor:
    """The clean latents from which one DDIM step leads from `start` to `end` (arXiv 2202.00512, appendix G).

    here, there: their shares of the signal's variance, which broadcast to them.
    """
    ratio = ((1 - there) / (1 - here)) ** 0.5
    return (end - ratio * start) / (there**0.5 - ratio * here**0.5)


def start_noise(batch: TrainingBatch, generator: torch.Generator) -> Tensor:
    """Noise that all frames of a window share, as sampling starts: (b, 4, f, h, w). generator: on the CPU."""
    count, channels, frames, height, width = batch.target.shape
    noise = torch.randn(count, channels, 1, height, width, generator=generator)
    return noise.expand(-1, -1, frames, -1, -1).to(batch.target.device)


@dataclass(frozen=True)
class TrajectoryDistillation:
    """From each of its timesteps the student reaches in one step where its teacher's guided DDIM steps lead.

    schedule: the student's timesteps, each one also of the teacher's. from_student: the points to start from are the
    student's own, on its way from pure noise, as in sampling (arXiv 2405.05224); else clips with noise added.
    distance: between clean latents, as predicted and as the teacher's end of the stretch implies.
    """

    teacher: Teacher
    schedule: DDIMSchedule
    from_student: bool
    distance: LatentDistance
    sampling: WindowSampling

    @property
    def substeps(self) -> int:
        """Of the teacher for each of the student."""
        return len(self.teacher.schedule.timesteps) // len(self.schedule.timesteps)

    def losses(self, batch: TrainingBatch, predict: Predict, generator: torch.Generator) -> dict[str, Tensor]:
        """One stretch for each window, drawn uniformly; the draws are the same whatever the options are."""
        count = len(batch.target)
        stretch = torch.randint(0, len(self.schedule.timesteps), (count,), generator=generator)
        noise = start_noise(batch, generator)
        here, there = points(self.schedule, stretch, noise), points(self.schedule, stretch + 1, noise)
        start = self.own_points(noise, stretch, batch, predict)
        if not self.from_student:
            noised = self.schedule.add_noise(batch.target, noise, here.timesteps)
            start = torch.where(stretch.to(noise.device)[:, None, None, None, None] > 0, noised, noise)
        end = self.teacher.solve(start, stretch * self.substeps, self.substeps, batch)
        predicted = predict(torch.cat([start, batch.condition], dim=1), here.timesteps, batch.voice)
        clean = predicted_latents(start, predicted.float(), here.alphas.flatten())
        error = self.distance(clean, clean_between(start, end, here.alphas, there.alphas))
        return {"loss": error, "latent": error}

    @torch.no_grad()
    def own_points(self, noise: Tensor, stretch: Tensor, batch: TrainingBatch, predict: Predict) -> Tensor:
        """Where the student stands before its step number `stretch` (b,), from pure noise: (b, 4, f, h, w)."""
        noisy = noise
        for step in range(int(stretch.max()) if self.from_student else 0):
            now, then = (points(self.schedule, torch.full_like(stretch, at), noise) for at in (step, step + 1))
            predicted = predict(torch.cat([noisy, batch.condition], dim=1), now.timesteps, batch.voice)
            moved = ddim_step(noisy, predicted.float(), now.alphas, then.alphas)
            noisy = torch.where((stretch > step).to(noise.device)[:, None, None, None, None], moved, noisy)
        return noisy

    def sample(self, unet: NoisePredictor, condition: Tensor, voice: Tensor, generator: torch.Generator) -> Tensor:
        """By the student's own few steps, without guidance."""
        return self.sampling.sample(unet, condition, voice, generator)


@dataclass(frozen=True)
class ConsistencyDistillation:
    """Neighbouring points of the teacher's trajectories are to give the same clean latents (arXiv 2310.04378).

    target_predict: a forward pass of the student's averaged weights, without gradient.
    """

    teacher: Teacher
    target_predict: Predict
    distance: LatentDistance
    sampling: WindowSampling

    def losses(self, batch: TrainingBatch, predict: Predict, generator: torch.Generator) -> dict[str, Tensor]:
        """Add noise to clips, take one guided step of the teacher, and compare the clean latents of both ends."""
        count, schedule = len(batch.target), self.teacher.schedule
        place = torch.randint(0, len(schedule.timesteps), (count,), generator=generator)
        noise = start_noise(batch, generator)
        here, there = points(schedule, place, noise), points(schedule, place + 1, noise)
        start = schedule.add_noise(batch.target, noise, here.timesteps)
        end = self.teacher.solve(start, place, 1, batch)
        target = self.clean(self.target_predict, end, there, batch)
        error = self.distance(self.clean(predict, start, here, batch), target)
        return {"loss": error, "latent": error}

    def clean(self, predict: Predict, noisy: Tensor, at: Points, batch: TrainingBatch) -> Tensor:
        """The consistency function of a network; the identity at timestep 0."""
        predicted = predict(torch.cat([noisy, batch.condition], dim=1), at.timesteps, batch.voice).float()
        return consistency_function(noisy, predicted, at.alphas, at.timesteps.to(noisy)[:, None, None, None, None])

    def sample(self, unet: NoisePredictor, condition: Tensor, voice: Tensor, generator: torch.Generator) -> Tensor:
        """By multistep consistency sampling, without guidance."""
        return self.sampling.sample(unet, condition, voice, generator)


def build_distillation(
    config: TrainConfig, networks: TrainedNetworks, averaged: Predict, weights: Tensor
) -> TrajectoryDistillation | ConsistencyDistillation:
    """The objective that `config.distill` names.

    averaged: a forward pass of the student's averaged weights. weights: (h, w) of errors in latents.
    """
    settings, models = config.distill, networks.models
    student = settings.student()
    teacher = Teacher(
        predict=teacher_predictor(networks, config.optimizer.precision),
        conditioning=networks.conditioning,
        guidance=Guidance(settings.guidance),
        schedule=make_schedule("ddim-trailing", settings.teacher_steps),
    )
    sampler = SamplerSettings(student.steps, DISTILLED_SCALE, student.solver, models.device)
    sampling = WindowSampling(networks.conditioning, sampler, config.window)
    distance = LatentDistance(settings.distance, weights)
    if settings.method == "consistency":
        return ConsistencyDistillation(teacher, averaged, distance, sampling)
    return TrajectoryDistillation(
        teacher=teacher,
        schedule=make_schedule(student.solver, student.steps),
        from_student=settings.start == "student",
        distance=distance,
        sampling=sampling,
    )
