"""The UNet as a native MODEL: stock samplers, LoRA, partial loading and casting, equal to the library's own sampler."""

import importlib
from types import SimpleNamespace

import pytest
import torch

FRAMES, SIDE = 21, 16  # a whole window, a short one; latent pixels
WINDOWS = ((0, 16), (16, 21))
STEPS, SCALE, SEED = 3, 1.5, 5


@pytest.fixture(scope="module")
def modules(pack, narrow):
    """The pack's own modules, under the names the tests use."""

    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    return SimpleNamespace(
        native=load("nodes.host.native_model"),
        sampling=load("nodes.sampling"),
        narrow=narrow,
        diffusion=load("latentsync_core.diffusion"),
        errors=load("latentsync_core.errors"),
        draw=importlib.import_module("seeded").draw,
    )


@pytest.fixture
def model(modules):
    return modules.native.native_model(modules.narrow.checkpoint(), torch.float32, "shared")


@pytest.fixture(scope="module")
def sides(modules):
    """positive, negative and latent as the Conditioning node makes them."""
    draw = modules.draw
    condition = torch.from_numpy(draw("native.condition", FRAMES, 9, SIDE, SIDE))
    voice = torch.from_numpy(draw("native.voice", FRAMES, 50, 48))
    extra = {modules.native.CONDITION: condition, modules.native.WINDOWS: WINDOWS}
    silence = torch.zeros(1, 1, 1).expand_as(voice)
    latent = torch.zeros(FRAMES, 4, SIDE, SIDE)
    return [[voice, extra]], [[silence, dict(extra)]], latent


def sample_here(modules, model, sides, scale=SCALE, seed=SEED):
    settings = modules.diffusion.SamplerSettings(STEPS, modules.diffusion.Guidance(scale))
    return modules.native.sample_natively(model, *sides, settings, seed)


def sample_advanced(modules, model, sides, sampler="euler"):
    """What SamplerCustomAdvanced does, with our NOISE and SIGMAS."""
    import comfy.samplers

    positive, negative, latent = sides
    sigmas = modules.diffusion.reference_sigmas(STEPS)
    noise = modules.sampling.RepeatedNoise(SEED, float(sigmas[0])).generate_noise({"samples": latent})
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(SCALE)
    return guider.sample(noise, latent, comfy.samplers.sampler_object(sampler), sigmas, disable_pbar=True, seed=SEED)


def relative(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


def test_our_sampler_equals_the_library(modules, model, sides):
    (voice, extra), _ = sides[0][0], sides[1]
    unet = modules.narrow.unet()
    noise = modules.diffusion.shared_noise(SIDE, torch.Generator().manual_seed(SEED))
    condition = extra[modules.native.CONDITION].transpose(0, 1)[None]
    expected = modules.diffusion.sample_windows(unet, noise, condition, voice, STEPS, SCALE)[0].transpose(0, 1)
    assert relative(sample_here(modules, model, sides) * 0.18215, expected) < 1e-4


def test_overlapping_windows_are_fused_alike_in_all_samplers(modules, model, sides):
    """Library, our sampler and a stock one: one clip whose windows share 11 of 21 frames."""
    (voice, extra), _ = sides[0][0], sides[1]
    spans = tuple((span.start, span.stop) for span in modules.diffusion.plan_windows([True] * FRAMES, overlap=4))
    assert spans == ((0, 16), (5, 21))
    fused = [[[tokens, {**side, modules.native.WINDOWS: spans}]] for ((tokens, side),) in sides[:2]]
    noise = modules.diffusion.shared_noise(SIDE, torch.Generator().manual_seed(SEED))
    condition = extra[modules.native.CONDITION].transpose(0, 1)[None]
    unet = modules.narrow.unet()
    expected = modules.diffusion.sample_windows(unet, noise, condition, voice, STEPS, SCALE, overlap=4)[0]
    ours = sample_here(modules, model, (*fused, sides[2]))
    assert relative(ours * 0.18215, expected.transpose(0, 1)) < 1e-4
    assert relative(sample_advanced(modules, model, (*fused, sides[2])), ours) < 1e-3
    assert relative(sample_here(modules, model, sides), ours) > 1e-2  # and fusing changes the result


def test_stock_custom_sampling_equals_our_sampler(modules, model, sides):
    assert relative(sample_advanced(modules, model, sides), sample_here(modules, model, sides)) < 1e-3


def test_ksampler_runs_on_it_and_shares_one_frame_of_noise(modules, sides):
    import comfy.sample

    positive, negative, latent = sides
    one_voice = [[positive[0][0][:1].expand(FRAMES, -1, -1).contiguous(), dict(positive[0][1])]]
    one_voice[0][1][modules.native.CONDITION] = positive[0][1][modules.native.CONDITION][:1].expand(FRAMES, -1, -1, -1)
    results = {}
    for noise in ("shared", "independent"):
        model = modules.native.native_model(modules.narrow.checkpoint(), torch.float32, noise)
        start = comfy.sample.prepare_noise(latent, SEED)
        run = (model, start, STEPS, SCALE, "ddim", "ddim_uniform", one_voice, negative, latent)
        results[noise] = comfy.sample.sample(*run, disable_pbar=True, seed=SEED)
    # The same voice, face and noise in every frame: only the position table tells frames of a window apart.
    spread = {noise: relative(frames[:1].expand_as(frames), frames) for noise, frames in results.items()}
    assert torch.isfinite(results["shared"]).all()
    assert spread["shared"] < 0.5 * spread["independent"]


def test_windows_do_not_see_one_another(modules, model, sides):
    positive, negative, latent = sides
    changed = positive[0][0].clone()
    changed[18] += 1
    before = sample_advanced(modules, model, sides)
    after = sample_advanced(modules, model, ([[changed, positive[0][1]]], negative, latent))
    assert torch.equal(before[:16], after[:16])
    assert not torch.equal(before[16:], after[16:])


def test_lora_changes_the_result_and_leaves_no_trace(modules, model, sides):
    import comfy.sd

    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v"
    key = f"diffusion_model.{name}"
    weights = model.model.state_dict()
    shape = weights[f"{key}.weight"].shape
    untouched = {k: v.clone() for k, v in weights.items()}
    lora = {
        f"{key}.lora_up.weight": torch.from_numpy(modules.draw("up", shape[0], 4)),
        f"{key}.lora_down.weight": torch.from_numpy(modules.draw("down", 4, shape[1])),
    }
    plain = sample_here(modules, model, sides)
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)
    assert relative(sample_here(modules, patched, sides), plain) > 1e-3
    assert torch.equal(sample_here(modules, model, sides), plain)
    patched.detach()
    model.detach()
    assert all(torch.equal(value, untouched[k]) for k, value in model.model.state_dict().items())


def test_forced_partial_loading_changes_nothing(modules, model, sides):
    plain = sample_here(modules, model, sides)
    voice, extra = sides[0][0]
    sample = torch.cat([torch.zeros(16, 4, SIDE, SIDE), extra[modules.native.CONDITION][:16]], 1)
    sample = sample.transpose(0, 1)[None]
    model.detach()
    model.patch_model(device_to=torch.device("cpu"), lowvram_model_memory=1)
    streamed = modules.native.NativePredictor(model)
    with torch.inference_mode():
        partial = streamed(sample, torch.tensor(500), voice[:16])
    model.detach()
    model.patch_model(device_to=torch.device("cpu"))
    with torch.inference_mode():
        full = streamed(sample, torch.tensor(500), voice[:16])
    assert torch.equal(partial, full)
    assert torch.equal(sample_here(modules, model, sides), plain)


def test_half_precision_storage_computes_in_single(modules, model, sides):
    half = modules.native.native_model(modules.narrow.checkpoint(), torch.float16, "shared")
    assert half.model.get_dtype() == torch.float16
    assert half.model.manual_cast_dtype in (None, torch.float32)
    found = sample_advanced(modules, half, sides)
    assert torch.isfinite(found).all() and relative(found, sample_advanced(modules, model, sides)) < 0.05


def test_memory_is_asked_for_a_window_not_for_the_clip(model):
    need = model.model.memory_required
    assert need([2 * 10_000, 4, 32, 32]) == need([2 * 100, 4, 32, 32])
    assert need([2 * 100, 4, 64, 64]) == pytest.approx(4 * need([2 * 100, 4, 32, 32]))


def test_one_memory_error_is_survived_one_side_at_a_time(modules, model, sides, monkeypatch):
    expected = sample_advanced(modules, model, sides)
    network = model.model.diffusion_model
    real, refused = network.forward, []

    def small_memory(x, *args, **kwargs):
        if len(x) > 1:
            refused.append(len(x))
            raise modules.native.OUT_OF_MEMORY("out of memory")
        return real(x, *args, **kwargs)

    monkeypatch.setattr(network, "forward", small_memory)
    found = sample_advanced(modules, model, sides)
    assert refused and relative(found, expected) < 1e-4


def test_foreign_conditioning_and_latents_are_refused(modules, model, sides):
    positive, negative, latent = sides
    plain = [[torch.zeros(1, 77, 768), {}]]
    with pytest.raises(modules.errors.LatentSyncError, match="LatentSync Conditioning"):
        sample_advanced(modules, model, (plain, plain, latent))
    with pytest.raises(modules.errors.LatentSyncError, match="use the latent of the same Conditioning"):
        sample_advanced(modules, model, (positive, negative, latent[:5]))
    with pytest.raises(modules.errors.LatentSyncError, match="LatentSync Load Model"):
        modules.native.require_native(SimpleNamespace(model=torch.nn.Linear(1, 1)))


def test_cancel_stops_between_windows(modules, model, sides):
    import comfy.model_management as management

    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        sample_advanced(modules, model, sides)
    management.interrupt_current_processing(False)


@pytest.mark.parametrize(("name", "unit"), [("fp8_e4m3fn", 2**-4), ("fp8_e5m2", 2**-3)])
def test_weights_stored_in_fp8_by_the_node_are_rounded_and_no_more(modules, node_classes, name, unit):
    """A weight is off by at most `unit` of itself, by 0.3 of that in the mean square; about 50 matrices follow one
    another, whose errors add up as those of independent draws do: to 2 units. Twice that is allowed."""
    found = []
    for dtype in ("fp32", name):
        model, _ = node_classes["LatentSyncLoadModel"].execute("embedded (any face)", "shared", 0, dtype).args
        found.append(sample_here(modules, model, embedded_sides(modules, model)))
    assert model.model.get_dtype() == modules.native.stored_dtype(name)
    assert model.model_size() < sum(weight.nelement() for weight in model.model.diffusion_model.parameters()) * 1.2
    assert 0 < relative(found[1], found[0]) < 4 * unit


def embedded_sides(modules, model):
    """As `sides`, as wide as the embedded model's, whose learned null the negative side gets by itself."""
    native, unet = modules.native, model.model.diffusion_model
    condition = torch.from_numpy(modules.draw("native.condition", FRAMES, 9, SIDE, SIDE))
    voice = torch.from_numpy(modules.draw("native.voice", FRAMES, 50, unet.config.cross_attention_dim))
    extra = {native.CONDITION: condition, native.WINDOWS: WINDOWS}
    silence = torch.zeros(1, 1, 1).expand_as(voice)
    return [[voice, extra]], [[silence, {**extra, native.VOICELESS: True}]], torch.zeros(FRAMES, 4, SIDE, SIDE)
