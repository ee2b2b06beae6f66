"""A student's targets are its teacher's own guided steps, and vanish for a student that takes them already."""

import pytest
import torch
from seeded import draw
from torch import Tensor

from latentsync_core.diffusion import Guidance, SamplerSettings, make_schedule, sample_windows
from latentsync_core.diffusion.conditioning import TrainedConditioning
from latentsync_core.diffusion.ddim import ddim_step
from latentsync_core.training.batches import TrainingBatch
from latentsync_core.training.distillation import (
    ConsistencyDistillation,
    LatentDistance,
    TrajectoryDistillation,
    clean_between,
)
from latentsync_core.training.losses import latent_weights
from latentsync_core.training.objectives import WindowSampling
from latentsync_core.training.teacher import Teacher, points

BATCH, FRAMES, SIDE, WIDTH = 3, 4, 8, 6
STEPS, TEACHER_STEPS = 4, 12
CONDITIONING = TrainedConditioning(null_tokens=torch.full((1, WIDTH), 0.5))
GUIDANCE = Guidance(1.5)


def drawn(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(draw(name, *shape))


def batch_of(count: int = BATCH) -> TrainingBatch:
    nothing = torch.empty(count, 0)
    return TrainingBatch(
        target=drawn("target", count, 4, FRAMES, SIDE, SIDE),
        condition=drawn("condition", count, 9, FRAMES, SIDE, SIDE),
        voice=drawn("voice", count * FRAMES, 5, WIDTH),
        crops=nothing,
        mel=nothing,
    )


def bent(sample: Tensor, timesteps: Tensor, voice: Tensor) -> Tensor:
    """A prediction whose trajectories bend and which hears the voice: every step counts, and so does guidance."""
    heard = voice.mean((1, 2)).reshape(len(sample), 1, -1, 1, 1)
    times = torch.as_tensor(timesteps).reshape(-1, 1, 1, 1, 1) / 1000
    return torch.tanh(sample[:, :4] * (0.5 + times)) + heard + 0.1 * sample[:, 5:9]


def straight(sample: Tensor, timesteps: Tensor, voice: Tensor) -> Tensor:
    """The perfect prediction for data at a single point: every DDIM step, however long, stays on one line."""
    alphas = make_schedule("ddim", 20).alphas_cumprod[timesteps].reshape(-1, 1, 1, 1, 1)
    return (sample[:, :4] - alphas.sqrt() * 0.3) / (1 - alphas).sqrt()


def teacher_of(predict, guidance: Guidance = GUIDANCE) -> Teacher:
    return Teacher(predict, CONDITIONING, guidance, make_schedule("ddim-trailing", TEACHER_STEPS))


def distance(kind: str = "l2", kept_weight: float = 1.0) -> LatentDistance:
    mask = torch.ones(SIDE, SIDE)
    mask[SIDE // 2 :] = 0
    return LatentDistance(kind, latent_weights(mask, kept_weight))


def trajectory(predict, from_student: bool = True) -> TrajectoryDistillation:
    sampler = SamplerSettings(STEPS, 1.0, "ddim-trailing")
    return TrajectoryDistillation(
        teacher=teacher_of(predict),
        schedule=make_schedule("ddim-trailing", STEPS),
        from_student=from_student,
        distance=distance(),
        sampling=WindowSampling(CONDITIONING, sampler, FRAMES),
    )


def consistency(predict, target) -> ConsistencyDistillation:
    sampling = WindowSampling(CONDITIONING, SamplerSettings(STEPS, 1.0, "lcm"), FRAMES)
    return ConsistencyDistillation(teacher_of(predict), target, distance(), sampling)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_the_teacher_s_steps_are_those_of_the_sampler_with_its_guidance_and_null():
    batch, noise = batch_of(1), drawn("noise", 1, 4, FRAMES, SIDE, SIDE)
    found = teacher_of(bent).solve(noise, torch.zeros(1, dtype=torch.int64), TEACHER_STEPS, batch)
    options = {"null_tokens": CONDITIONING.null_tokens[None], "solver": "ddim-trailing"}
    sampled = sample_windows(bent, noise, batch.condition, batch.voice, TEACHER_STEPS, 1.5, **options)
    assert torch.allclose(found, sampled, atol=1e-5)
    unguided = sample_windows(bent, noise, batch.condition, batch.voice, TEACHER_STEPS, 1.0, **options)
    assert (found - unguided).abs().max() > 0.05


def test_every_window_starts_where_its_own_stretch_does():
    batch, noise = batch_of(), drawn("noise", BATCH, 4, FRAMES, SIDE, SIDE)
    together = teacher_of(bent).solve(noise, torch.tensor([0, 6, 9]), 3, batch)
    for row, place in enumerate((0, 6, 9)):
        rows = {name: value[row : row + 1] for name, value in vars(batch).items()}
        one = TrainingBatch(**{**rows, "voice": batch.voice[row * FRAMES : (row + 1) * FRAMES]})
        alone = teacher_of(bent).solve(noise[row : row + 1], torch.tensor([place]), 3, one)
        assert torch.allclose(together[row : row + 1], alone, atol=1e-5)


def test_one_step_with_the_implied_latents_leads_from_start_to_end():
    start, end = drawn("start", 2, 4, 1, SIDE, SIDE), drawn("end", 2, 4, 1, SIDE, SIDE)
    schedule = make_schedule("ddim-trailing", STEPS)
    here, there = (points(schedule, torch.tensor([0, 3]) + step, start) for step in (0, 1))
    clean = clean_between(start, end, here.alphas, there.alphas)
    noise = (start - here.alphas**0.5 * clean) / (1 - here.alphas) ** 0.5
    assert torch.allclose(ddim_step(start, noise, here.alphas, there.alphas), end, atol=1e-4)


@pytest.mark.parametrize("from_student", [True, False])
def test_a_student_on_a_straight_line_has_nothing_to_learn_and_one_beside_it_pays_its_distance(from_student):
    objective = trajectory(straight, from_student)
    assert objective.losses(batch_of(), straight, generator())["loss"] < 1e-6
    wrong = objective.losses(batch_of(), lambda *inputs: straight(*inputs) + 0.1, generator())["loss"]
    stretch = torch.randint(0, STEPS, (BATCH,), generator=generator())
    alphas = points(objective.schedule, stretch, torch.zeros(1)).alphas
    assert float(wrong) == pytest.approx(float((0.1**2 * (1 - alphas) / alphas).mean()), rel=1e-3)


def test_consistency_is_free_on_a_straight_line_and_gradients_reach_the_student_alone():
    assert consistency(straight, straight).losses(batch_of(), straight, generator())["loss"] < 1e-3
    scale = torch.tensor(1.1, requires_grad=True)
    found = consistency(bent, bent).losses(batch_of(), lambda *inputs: scale * bent(*inputs), generator())["loss"]
    found.backward()
    assert found > 0.01 and scale.grad.abs() > 0


def test_the_student_s_own_points_are_those_of_its_sampler():
    objective, batch = trajectory(bent), batch_of(1)
    noise = drawn("noise", 1, 4, 1, SIDE, SIDE).expand(-1, -1, FRAMES, -1, -1)
    found = objective.own_points(noise, torch.tensor([STEPS]), batch, bent)
    options = {"null_tokens": CONDITIONING.null_tokens[None], "solver": "ddim-trailing"}
    sampled = sample_windows(bent, noise, batch.condition, batch.voice, STEPS, 1.0, **options)
    assert torch.allclose(found, sampled, atol=1e-5)
    assert torch.equal(objective.own_points(noise, torch.tensor([0]), batch, bent), noise)


def test_the_distance_shifts_the_weight_to_what_is_redrawn():
    above, below = torch.zeros(2, 1, 4, FRAMES, SIDE, SIDE).unbind()
    above, below = above.clone(), below.clone()
    above[..., : SIDE // 2, :], below[..., SIDE // 2 :, :] = 1.0, 1.0
    for kind in ("huber", "l2"):
        even, uneven = distance(kind), distance(kind, kept_weight=0.25)
        zero = torch.zeros_like(above)
        assert float(even(above, zero)) == pytest.approx(float(even(below, zero)))
        assert float(uneven(below, zero)) == pytest.approx(4 * float(uneven(above, zero)), rel=1e-3)
    assert float(distance("huber")(2 * above, zero)) == pytest.approx(
        2 * float(distance("huber")(above, zero)), rel=0.01
    )
    assert float(distance("l2")(2 * above, zero)) == pytest.approx(4 * float(distance("l2")(above, zero)))
