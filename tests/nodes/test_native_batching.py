"""Our sampler takes as many windows of a native MODEL at once as the host has memory for, with the same result."""

import importlib
from types import SimpleNamespace

import pytest
import torch

FRAMES, SIDE = 6, 16  # latent pixels
WINDOWS = ((0, 2), (2, 4), (4, 6))
STEPS, SEED = 2, 5


@pytest.fixture(scope="module")
def modules(pack, narrow):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    return SimpleNamespace(
        native=load("nodes.host.native_model"),
        memory=load("nodes.host.memory"),
        diffusion=load("latentsync_core.diffusion"),
        narrow=narrow,
        draw=importlib.import_module("seeded").draw,
    )


@pytest.fixture(scope="module")
def model(modules):
    return modules.native.native_model(modules.narrow.checkpoint(), torch.float32, "shared")


@pytest.fixture(scope="module")
def sides(modules):
    """positive, negative and latent as the Conditioning node makes them."""
    condition = torch.from_numpy(modules.draw("batching.condition", FRAMES, 9, SIDE, SIDE))
    voice = torch.from_numpy(modules.draw("batching.voice", FRAMES, 50, 48))
    extra = {modules.native.CONDITION: condition, modules.native.WINDOWS: WINDOWS}
    silence = torch.zeros(1, 1, 1).expand_as(voice)
    negative = [[silence, {**extra, modules.native.VOICELESS: True}]]
    return [[voice, extra]], negative, torch.zeros(FRAMES, 4, SIDE, SIDE)


@pytest.fixture
def sample(modules, model, sides):
    """Latents, and how many windows each pass had."""

    def run(**batch):
        passes = []
        network = model.model.diffusion_model
        hook = network.conv_in.register_forward_hook(lambda _, args, out: passes.append(len(args[0]) // 2))
        settings = modules.diffusion.SamplerSettings(STEPS, 2.0, **batch)
        latents = modules.native.sample_natively(model, *sides, settings, SEED)
        hook.remove()
        return latents, passes

    return run


def with_free_memory(monkeypatch, free: float) -> None:
    """Let the host take the CPU for a card with so many bytes free."""
    import comfy.model_management as management

    monkeypatch.setattr(management, "is_device_cpu", lambda device: False)
    monkeypatch.setattr(management, "get_free_memory", lambda _=None, both=False: (free, free) if both else free)


def relative(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


def test_a_cpu_takes_one_and_a_number_is_obeyed(sample):
    apart, passes = sample()
    assert passes == [1] * 6
    together, passes = sample(batch=2)
    assert passes == [2, 2, 1, 1]
    assert relative(together, apart) < 1e-3  # float32, magnified by a seeded network


@pytest.mark.parametrize(("windows", "passes"), [(0.5, [1] * 6), (2.6, [2, 2, 1, 1]), (90, [3, 3])])
def test_a_card_takes_what_the_host_has_free(modules, model, sample, monkeypatch, windows, passes):
    each = model.model.memory_required([2 * FRAMES, 4, SIDE, SIDE])
    sample()  # loaded
    with_free_memory(monkeypatch, windows * each)
    assert sample()[1] == passes


def test_weights_that_are_still_to_come_count_as_taken(modules, model, monkeypatch):
    with_free_memory(monkeypatch, 2 * model.model_size())
    monkeypatch.setattr(model, "loaded_size", lambda: model.model_size())
    assert modules.memory.windows_at_once(model, model.model_size() / 2) == 3
    monkeypatch.setattr(model, "loaded_size", lambda: 0)
    assert modules.memory.windows_at_once(model, model.model_size() / 2) == 1
