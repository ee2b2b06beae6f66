"""Nodes condition as the checkpoint was trained: its own null, its positions, with our sampler and with stock ones."""

import importlib
from types import SimpleNamespace

import pytest
import torch

FRAMES, SIDE, STEPS, SCALE, SEED = 5, 16, 2, 2.0, 3
TRAININGS = {  # null tokens, metadata
    "learned null": (1, {"null": "learned"}),
    "positions": (0, {"position_encoding": "on"}),
    "dropped jointly": (50, {"null": "learned", "position_encoding": "on", "dropped": "jointly"}),
}


@pytest.fixture(scope="module")
def modules(pack):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    names = {"native": "nodes.host.native_model", "node": "nodes.conditioning", "types": "nodes.types"}
    names |= {"sampling": "nodes.sampling", "audio": "nodes.audio"}
    core = {
        "conditioning": "diffusion.conditioning",
        "faces": "generators.face_latents",
        "clip": "generators.latentsync.conditioning",
        "unet": "models.unet",
    }
    core |= {"diffusion": "diffusion", "audio": "audio"}
    return SimpleNamespace(
        **{name: load(path) for name, path in names.items()},
        core=SimpleNamespace(
            **{name: load(f"latentsync_core.{path}") for name, path in core.items()},
            seeded=importlib.import_module("seeded"),
        ),
    )


@pytest.fixture(params=TRAININGS)
def checkpoint(request, modules, tmp_path):
    """A checkpoint file with one kind of training, read back."""
    null_tokens, metadata = TRAININGS[request.param]
    core = modules.core
    config = core.unet.UNetConfig.from_dict({**core.seeded.NARROW_UNET, "null_audio_tokens": null_tokens})
    unet = core.seeded.seed_weights(core.unet.UNet3DConditionModel(config))
    core.unet.save_unet(unet, tmp_path / "unet.safetensors", metadata)
    return tmp_path / "unet.safetensors"


@pytest.fixture
def clip(modules):
    """Face latents of five frames and the voice they hear."""
    core = modules.core
    latents = torch.from_numpy(core.seeded.draw("latents", 2, FRAMES, 4, SIDE, SIDE))
    faces = core.faces.FaceLatents(*latents, torch.ones(SIDE, SIDE), {i: i for i in range(FRAMES)}, 128)
    features = torch.from_numpy(core.seeded.draw("features", 40, 5, 48))
    return faces, features, core.audio.window_indices(40, 25, FRAMES)


def conditioned(modules, clip):
    """positive, negative and latent of the Conditioning node, without a Position Encoding node before it."""
    faces, features, indices = clip
    windows = (modules.core.diffusion.Window(0, FRAMES),)
    timeline = SimpleNamespace(source=tuple(range(FRAMES)))
    tokens = modules.types.ClipTokens(timeline, windows, modules.core.audio.AudioTokens(features, indices), {})
    return modules.node.Conditioning.execute(faces, tokens).args


def library(modules, checkpoint, clip) -> torch.Tensor:
    """The library's own latents (frames, 4, h, w)."""
    faces, features, indices = clip
    core = modules.core
    unet = core.unet.load_unet(checkpoint)
    trained = core.conditioning.TrainedConditioning.of(unet)
    tokens = trained.audio_tokens(features, indices)
    conditioning = core.clip.ClipConditioning(faces, tokens, range(FRAMES), trained)
    noise = core.diffusion.shared_noise(SIDE, torch.Generator().manual_seed(SEED))
    groups = core.diffusion.window_groups([core.diffusion.Window(0, FRAMES)])
    settings = core.diffusion.SamplerSettings(STEPS, SCALE)
    return core.diffusion.sample_clip(unet, noise, conditioning, groups, settings, frames=FRAMES)[0].transpose(0, 1)


def relative(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


def test_our_sampler_and_stock_ones_equal_the_library(modules, checkpoint, clip):
    import comfy.samplers

    expected = library(modules, checkpoint, clip)
    native = modules.native.native_model(modules.core.unet.read_checkpoint(checkpoint), torch.float32, "shared")
    positive, negative, latent = conditioned(modules, clip)
    settings = modules.core.diffusion.SamplerSettings(STEPS, SCALE)
    ours = modules.native.sample_natively(native, positive, negative, latent["samples"], settings, SEED)
    assert relative(ours * 0.18215, expected) < 1e-4

    sigmas = modules.core.diffusion.reference_sigmas(STEPS)
    noise = modules.sampling.RepeatedNoise(SEED, float(sigmas[0])).generate_noise(latent)
    guider = comfy.samplers.CFGGuider(native)
    guider.set_conds(positive, negative)
    guider.set_cfg(SCALE)
    euler = comfy.samplers.sampler_object("euler")
    stock = guider.sample(noise, latent["samples"], euler, sigmas, disable_pbar=True, seed=SEED)
    assert relative(stock * 0.18215, expected) < 1e-3


@pytest.mark.parametrize("mode", ["on", "off"])
def test_a_decision_of_the_position_encoding_node_stands(modules, checkpoint, clip, mode):
    native = modules.native.native_model(modules.core.unet.read_checkpoint(checkpoint), torch.float32, "shared")
    _, features, indices = clip
    tokens = modules.core.audio.AudioTokens(features, indices)
    undecided = modules.types.ClipTokens(None, (), tokens, {})
    decided = modules.audio.PositionEncoding.execute(undecided, native, mode).args[0]
    assert decided.tokens.positions == (mode == "on")
    extra = {modules.native.CONDITION: torch.zeros(FRAMES, 9, SIDE, SIDE), modules.native.POSITIONS: decided.positions}
    voice = decided.tokens[0:FRAMES]
    assert torch.equal(native.model.side(voice, extra)[1], voice)


def test_our_sampler_attends_to_no_zeros(modules, checkpoint, clip):
    """Of the side without a voice only a learned null is attended to."""
    native = modules.native.native_model(modules.core.unet.read_checkpoint(checkpoint), torch.float32, "shared")
    rows = []
    attention = native.model.diffusion_model.mid_block.attentions[0].transformer_blocks[0].attn2
    attention.to_k.register_forward_hook(lambda _, args, out: rows.append(len(args[0])))
    positive, negative, latent = conditioned(modules, clip)
    settings = modules.core.diffusion.SamplerSettings(1, SCALE)
    modules.native.sample_natively(native, positive, negative, latent["samples"], settings, SEED)
    learned = native.model.diffusion_model.null_audio_tokens is not None
    assert rows == [2 * FRAMES if learned else FRAMES]
