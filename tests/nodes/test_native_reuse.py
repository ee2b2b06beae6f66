"""Feature reuse of a native MODEL: equal to the library's under our sampler and stock ones, and safe between runs."""

import importlib
from types import SimpleNamespace

import pytest
import torch

FRAMES, SIDE = 6, 16  # latent pixels
WINDOWS = ((0, 4), (4, 6))
STEPS, SCALE, SEED = 7, 1.5, 5
REUSE, REUSE_NULL = 2, 4


@pytest.fixture(scope="module")
def modules(pack, narrow):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    return SimpleNamespace(
        native=load("nodes.host.native_model"),
        reuse=load("nodes.host.feature_reuse"),
        sampling=load("nodes.sampling"),
        narrow=narrow,
        diffusion=load("latentsync_core.diffusion"),
        errors=load("latentsync_core.errors"),
        presets=load("latentsync_core.presets"),
        draw=importlib.import_module("seeded").draw,
    )


@pytest.fixture(scope="module")
def model(modules):
    """Patched by the node."""
    plain = modules.native.native_model(modules.narrow.checkpoint(), torch.float32, "shared")
    return modules.sampling.FeatureReuse.execute(plain, REUSE, REUSE_NULL).args[0]


@pytest.fixture(scope="module")
def sides(modules):
    """positive, negative and latent as the Conditioning node makes them."""
    condition = torch.from_numpy(modules.draw("reuse.condition", FRAMES, 9, SIDE, SIDE))
    voice = torch.from_numpy(modules.draw("reuse.voice", FRAMES, 50, 48))
    extra = {modules.native.CONDITION: condition, modules.native.WINDOWS: WINDOWS}
    silence = torch.zeros(1, 1, 1).expand_as(voice)
    return [[voice, extra]], [[silence, dict(extra)]], torch.zeros(FRAMES, 4, SIDE, SIDE)


@pytest.fixture(scope="module")
def expected(modules, sides):
    """The library's latents (frames, 4, h, w), by intervals of full steps."""
    (voice, extra), *_ = sides[0]
    unet, windows = modules.narrow.unet(), [modules.diffusion.Window(*span) for span in WINDOWS]
    noise = modules.diffusion.shared_noise(SIDE, torch.Generator().manual_seed(SEED))
    condition = extra[modules.native.CONDITION].transpose(0, 1)[None]

    def sample(**intervals):
        options = {"steps": STEPS, "guidance": SCALE, "windows": windows, **intervals}
        return modules.diffusion.sample_windows(unet, noise, condition, voice, **options)[0].transpose(0, 1)

    return SimpleNamespace(reused=sample(reuse=REUSE, reuse_null=REUSE_NULL), full=sample(), uniform=sample(reuse=3))


def stock(modules, model, sides, sampler="euler"):
    """What SamplerCustomAdvanced does, with our NOISE and SIGMAS; scaled latents."""
    import comfy.samplers

    positive, negative, latent = sides
    sigmas = modules.diffusion.reference_sigmas(STEPS)
    noise = modules.sampling.RepeatedNoise(SEED, float(sigmas[0])).generate_noise({"samples": latent})
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(SCALE)
    chosen = comfy.samplers.sampler_object(sampler)
    return guider.sample(noise, latent, chosen, sigmas, disable_pbar=True, seed=SEED) * modules.native.LATENT_SCALE


def ours(modules, model, sides, **intervals):
    """The LatentSync Sampler; scaled latents."""
    positive, negative, latent = sides
    node = modules.sampling.Sampler
    result = node.execute(model, positive, negative, {"samples": latent}, STEPS, SCALE, SEED, "ddim", **intervals)
    return result.args[0]["samples"] * modules.native.LATENT_SCALE


def relative(found, wanted) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_a_stock_sampler_equals_the_library(modules, model, sides, expected):
    assert relative(stock(modules, model, sides), expected.reused) < 1e-3
    assert relative(expected.full, expected.reused) > 1e-2  # and that is another result than full steps give


def test_our_sampler_obeys_the_model_and_its_own_input_first(modules, model, sides, expected):
    assert relative(ours(modules, model, sides), expected.reused) < 1e-3
    assert relative(ours(modules, model, sides, reuse=3), expected.uniform) < 1e-3


def test_nothing_is_left_of_a_run_that_was_cancelled(modules, model, sides, expected):
    import comfy.model_management as management

    network, calls = model.model.diffusion_model, []

    def cancel(*_):
        calls.append(1)
        if len(calls) == 5:  # in the middle of the third step
            management.interrupt_current_processing(True)

    hook = network.conv_in.register_forward_hook(cancel)
    with pytest.raises(management.InterruptProcessingException):
        stock(modules, model, sides)
    hook.remove()
    management.interrupt_current_processing(False)
    assert relative(stock(modules, model, sides), expected.reused) < 1e-3


def test_sides_that_the_host_runs_apart_keep_their_own(modules, model, sides, expected, monkeypatch):
    batches = []
    hook = model.model.diffusion_model.conv_in.register_forward_hook(lambda _, args, out: batches.append(len(out)))
    monkeypatch.setattr(type(model.model), "memory_required", lambda *_, **__: 1e18)  # never both at once
    found = stock(modules, model, sides)
    hook.remove()
    assert set(batches) == {4, 2}  # frames of either window, one side at a time
    assert relative(found, expected.reused) < 1e-3


def test_a_sampler_with_two_evaluations_a_step_runs_the_full_steps_once(modules, model, sides):
    """Heun's second evaluation is at the next step's noise level: one full evaluation serves both."""
    deep = []
    hook = model.model.diffusion_model.mid_block.register_forward_hook(lambda _, args, out: deep.append(len(out)))
    assert torch.isfinite(stock(modules, model, sides, "heun")).all()
    hook.remove()
    both, voice_only = 2 * 6, 6  # rows of both windows
    # Steps 0 to 6, and the last second evaluation at the level where the schedule ends.
    assert sum(deep) == 2 * both + 2 * voice_only


def test_the_last_patch_counts_and_the_first_model_stays_as_it_was(modules, model, sides, expected):
    plain = modules.native.native_model(modules.narrow.checkpoint(), torch.float32, "shared")
    other = modules.sampling.FeatureReuse.execute(model, 1, 0).args[0]
    for unpatched in (plain, other):
        assert relative(stock(modules, unpatched, sides), expected.full) < 1e-3
    assert relative(stock(modules, model, sides), expected.reused) < 1e-3


def test_models_of_another_kind_are_refused(modules):
    foreign = SimpleNamespace(model=torch.nn.Linear(1, 1))
    with pytest.raises(modules.errors.LatentSyncError, match="LatentSync Load Model"):
        modules.sampling.FeatureReuse.execute(foreign, 3, 0)


def test_a_preset_is_the_values_it_names_and_custom_leaves_them(modules, sides):
    plain = modules.native.native_model(modules.narrow.checkpoint(), torch.float32, "shared")
    positive, negative, latent = sides

    def sampled(*values, **options) -> torch.Tensor:
        node = modules.sampling.Sampler.execute(plain, positive, negative, {"samples": latent}, *values, **options)
        return node.args[0]["samples"]

    preset = modules.presets.PRESETS["preview"]
    chosen = sampled(20, 1.5, SEED, "ddim", preset="preview")
    by_hand = sampled(preset.steps, preset.guidance, SEED, preset.solver, reuse=preset.reuse)
    assert torch.equal(chosen, by_hand)
    assert not torch.equal(chosen, sampled(2, 1.5, SEED, "ddim", preset="custom"))
