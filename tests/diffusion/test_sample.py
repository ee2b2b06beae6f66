"""Sampling equals the reference, and every option around it does what it documents."""

import pytest
import torch
from rounding import exact_result, relative_error, rounding_bound
from seeded import draw, seed_weights

from latentsync_core.diffusion import (
    Guidance,
    NonFiniteLatentsError,
    Window,
    make_schedule,
    plan_windows,
    sample_windows,
    shared_noise,
)
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.unet import UNet3DConditionModel, UNetConfig
from latentsync_core.options import SOLVERS


@pytest.fixture(scope="module")
def unet(golden):
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict(golden("unet_small.json"))))


@pytest.fixture(scope="module")
def inputs():
    noise = torch.from_numpy(draw("sample.noise", 1, 4, 1, 8, 8))
    condition = torch.from_numpy(draw("sample.cond", 1, 9, 21, 8, 8))
    return noise, condition, torch.from_numpy(draw("sample.audio", 21, 50, 48))


LARGER = {"noise": (1, 4, 1, 16, 16), "cond": (1, 9, 2, 16, 16)}


@pytest.mark.parametrize(("guidance", "steps"), [(1.0, 20), (1.5, 20), (2.5, 7)])
def test_latents_equal_the_reference(golden, inputs, guidance, steps):
    # In double precision: a seeded network amplifies float32 rounding over 20 steps, so that in single precision two
    # processors differ from one another by as much as the tolerance. Both approximate this result.
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict(golden("unet_small.json")))).double()
    latents = sample_windows(unet, *inputs, steps=steps, guidance=guidance)
    for start, stop in ((0, 16), (16, 21)):
        expected = golden("sampling.npz")[f"cfg{guidance}_steps{steps}_frames{start}_{stop}"]
        assert relative_error(latents[:, :, start:stop], expected) < 1e-3


def test_single_precision_is_off_by_its_rounding_only(unet):
    """Over some guided steps, on pictures large enough for the network's norms."""
    noise, condition = (torch.from_numpy(draw(f"sample.{name}", *shape)) for name, shape in LARGER.items())
    inputs = noise, condition, torch.from_numpy(draw("sample.audio", 2, 50, 48))

    def sample(network, *inputs):
        return sample_windows(network, *inputs, steps=4, guidance=2.5)

    exact = exact_result(sample, unet, *inputs)
    bound = rounding_bound(sample, unet, *inputs, exact=exact, dtype=torch.float32)
    assert relative_error(sample(unet, *inputs), exact) < bound < 1e-4


@pytest.mark.parametrize("steps", [7, 20])
def test_timesteps_equal_the_reference(golden, steps):
    assert make_schedule("ddim", steps).timesteps.tolist() == golden("sampling.npz")[f"timesteps_{steps}"].tolist()


@pytest.mark.parametrize("solver", SOLVERS)
def test_windows_are_independent_of_one_another(unet, inputs, solver):
    noise, condition, audio = inputs
    options = {"steps": 4, "guidance": 1.5, "solver": solver}
    both = sample_windows(unet, noise, condition[:, :, :8], audio[:8], window=4, **options)
    second = sample_windows(unet, noise, condition[:, :, 4:8], audio[4:8], **options)
    torch.testing.assert_close(both[:, :, 4:], second, rtol=0, atol=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_converge_to_the_same_point_for_a_smooth_prediction(inputs, solver):
    """For data at a single point the perfect prediction is known, and every solver must arrive at that point."""
    noise, condition, audio = inputs
    alphas = make_schedule("ddim", 20).alphas_cumprod
    target = torch.full((1, 4, 1, 8, 8), 0.3)

    def perfect(sample, timestep, tokens):
        latents = sample[:, :4]
        alpha = alphas[int(timestep)]
        return (latents - alpha.sqrt() * target) / (1 - alpha).sqrt()

    found = sample_windows(perfect, noise, condition, audio, steps=20, guidance=1.0, solver=solver)
    assert (found - target).abs().max() < 0.15  # DDIM ends at alphas_cumprod[0], a noise level of 0.03


def test_guidance_one_runs_one_pass_without_the_unconditional_prediction(inputs):
    batches = []

    def record(sample, timestep, tokens):
        batches.append((len(sample), bool((tokens == 0).all())))
        return torch.zeros_like(sample[:, :4])

    sample_windows(record, *inputs, steps=2, guidance=1.0)
    assert set(batches) == {(1, False)}


def test_null_tokens_replace_the_zeros(inputs):
    seen = []

    def record(sample, timestep, tokens):
        seen.append(tokens[: len(tokens) // 2])
        return torch.zeros_like(sample[:, :4])

    null = torch.full((1, 50, 48), 0.25)
    sample_windows(record, *inputs, steps=1, guidance=2.0, null_tokens=null)
    assert all(torch.equal(tokens, null.expand_as(tokens)) for tokens in seen)
    sample_windows(record, *inputs, steps=1, guidance=2.0)
    assert (seen[-1] == 0).all()


def test_guided_interval_and_step_scales():
    guidance = Guidance(scale=2.0, start=0.25, end=0.75)
    assert [guidance.scale_at(i, 8) for i in range(8)] == [1, 1, 2, 2, 2, 2, 1, 1]
    scales = Guidance(step_scales=(1.0, 3.0))
    assert [scales.scale_at(i, 2) for i in range(2)] == [1.0, 3.0]
    with pytest.raises(LatentSyncError, match="2 guidance scales were given for 3 steps"):
        scales.scale_at(0, 3)


def test_rescale_restores_the_standard_deviation_of_the_conditional_prediction():
    null, voice = torch.randn(2, 1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    plain = Guidance().combine(null, voice, 3.0)
    full = Guidance(rescale=1.0).combine(null, voice, 3.0)
    assert plain.std() > 2 * voice.std()
    assert full.std().item() == pytest.approx(voice.std().item(), rel=1e-5)
    half = Guidance(rescale=0.5).combine(null, voice, 3.0)
    torch.testing.assert_close(half, (plain + full) / 2)


def test_step_scales_of_constant_value_equal_the_constant(unet, inputs):
    noise, condition, audio = inputs
    part = (noise, condition[:, :, :3], audio[:3])
    constant = sample_windows(unet, *part, steps=3, guidance=1.5)
    assert torch.equal(constant, sample_windows(unet, *part, steps=3, guidance=[1.5, 1.5, 1.5]))


def test_frames_outside_the_windows_stay_zero(unet, inputs):
    latents = sample_windows(unet, *inputs, steps=1, guidance=1.0, windows=[Window(2, 5)])
    assert latents[:, :, :2].abs().max() == 0 and latents[:, :, 5:].abs().max() == 0
    assert latents[:, :, 2:5].abs().min() > 0


def test_nan_is_noticed_and_located(inputs):
    def broken(sample, timestep, tokens):
        return torch.full_like(sample[:, :4], float("nan"))

    with pytest.raises(NonFiniteLatentsError, match="frames 0 to 15"):
        sample_windows(broken, *inputs, steps=2, guidance=1.0)


def test_progress_counts_steps_and_cancel_stops_within_one(inputs):
    calls, seen = [], []

    def count(sample, timestep, tokens):
        calls.append(int(timestep))
        return torch.zeros_like(sample[:, :4])

    sample_windows(count, *inputs, steps=3, guidance=1.0, on_progress=lambda *done: seen.append(done))
    assert seen == [(i, 6) for i in range(1, 7)]

    def cancel():
        if len(calls) == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_windows(count, *inputs, steps=3, guidance=1.0, check_cancelled=cancel)
    assert len(calls) == 8


def test_noise_depends_on_the_seed_alone():
    def draw_noise(seed: int) -> torch.Tensor:
        return shared_noise(8, torch.Generator().manual_seed(seed))

    assert draw_noise(5).shape == (1, 4, 1, 8, 8)
    assert torch.equal(draw_noise(5), draw_noise(5))
    assert not torch.equal(draw_noise(5), draw_noise(6))


def test_windows_cover_faces_and_cross_neither_breaks_nor_gaps():
    present = [True] * 20 + [False] * 3 + [True] * 17
    spans = [(w.start, w.stop) for w in plan_windows(present, breaks={5})]
    assert spans == [(0, 5), (5, 20), (23, 39), (39, 40)]
    assert plan_windows([False] * 4) == () and plan_windows([]) == ()


@pytest.mark.parametrize("window", [0, 25])
def test_impossible_windows_are_refused(window):
    with pytest.raises(LatentSyncError, match="1 to 24"):
        plan_windows([True], window=window)


@pytest.mark.parametrize(("solver", "steps", "said"), [("magic", 20, "magic"), ("ddim", 0, "0 steps")])
def test_impossible_schedules_are_refused(solver, steps, said):
    with pytest.raises(LatentSyncError, match=said):
        make_schedule(solver, steps)
