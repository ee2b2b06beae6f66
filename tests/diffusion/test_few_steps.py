"""The schedules of few-step students: diffusers' own trailing timesteps and boundary scalings, and what they end at."""

import pytest
import torch
from seeded import draw

from latentsync_core.diffusion import make_schedule, reference_sigmas
from latentsync_core.diffusion.consistency import boundary_scalings
from latentsync_core.diffusion.schedule import SETTINGS


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 20])
def test_trailing_timesteps_and_steps_are_diffusers_own(steps):
    from diffusers import DDIMScheduler

    published = DDIMScheduler(
        **{**SETTINGS, "timestep_spacing": "trailing", "steps_offset": 0}, set_alpha_to_one=False, clip_sample=False
    )
    published.set_timesteps(steps)
    schedule = make_schedule("ddim-trailing", steps)
    assert schedule.timesteps.tolist() == published.timesteps.tolist()
    if 1000 % steps:
        return  # diffusers then steps past its own timesteps
    ours = theirs = torch.from_numpy(draw("start", 1, 4, 2, 8, 8))
    for timestep in schedule.timesteps:
        noise = torch.tanh(ours * 0.7)
        ours = schedule.step(noise, timestep, ours).prev_sample
        theirs = published.step(noise, timestep, theirs).prev_sample
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_student_s_timesteps_are_among_its_teacher_s(steps):
    few, many = (make_schedule("ddim-trailing", count).timesteps.tolist() for count in (steps, 6 * steps))
    assert few == many[::6] and few[0] == 999


def test_the_boundary_scalings_are_diffusers_own_and_leave_clean_latents_alone():
    from diffusers import LCMScheduler

    published = LCMScheduler(**SETTINGS)
    timesteps = torch.tensor([0, 1, 49, 249, 999])
    theirs = published.get_scalings_for_boundary_condition_discrete(timesteps)
    for found, expected in zip(boundary_scalings(timesteps), theirs, strict=True):
        assert torch.allclose(found, expected)
    assert [float(scaling[0]) for scaling in boundary_scalings(timesteps)] == [1.0, 0.0]


def test_consistency_noises_again_by_the_noise_it_started_with():
    schedule = make_schedule("lcm", 3)
    noise = torch.from_numpy(draw("start", 1, 4, 2, 8, 8))
    latents, alphas = noise, schedule.alphas_cumprod
    for timestep, following in zip(schedule.timesteps, schedule.timesteps[1:], strict=False):
        predicted = (latents - alphas[timestep].sqrt() * 0.4) / (1 - alphas[timestep]).sqrt()  # of clean latents 0.4
        latents = schedule.step(predicted, timestep, latents).prev_sample
        expected = alphas[following].sqrt() * 0.4 + (1 - alphas[following]).sqrt() * noise
        assert torch.allclose(latents, expected, atol=1e-4)
    last = schedule.timesteps[-1]
    predicted = (latents - alphas[last].sqrt() * 0.4) / (1 - alphas[last]).sqrt()
    assert torch.allclose(schedule.step(predicted, last, latents).prev_sample, torch.tensor(0.4), atol=1e-4)


@pytest.mark.parametrize("solver", ["ddim", "ddim-trailing"])
def test_euler_over_the_noise_levels_is_ddim(solver):
    sigmas, schedule = reference_sigmas(4, solver).double(), make_schedule(solver, 4)
    assert len(sigmas) == 5 and (sigmas.diff() < 0).all()
    ours = torch.from_numpy(draw("start", 1, 4, 2, 8, 8)).double()
    euler = ours * (1 + sigmas[0] ** 2) ** 0.5  # latents in k-diffusion's terms: clean + sigma noise
    for place, timestep in enumerate(schedule.timesteps):
        noise = torch.tanh(ours * 0.7)
        ours = schedule.step(noise, timestep, ours).prev_sample
        euler = euler + (sigmas[place + 1] - sigmas[place]) * noise
    assert torch.allclose(ours, euler / (1 + sigmas[-1] ** 2) ** 0.5, atol=1e-5)
