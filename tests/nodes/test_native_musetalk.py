"""MuseTalk on the canvas: one step of a stock sampler redraws what the library redraws, in its own crop."""

import importlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

FRAMES, SEED, SCALE = 5, 3, 0.18215


@pytest.fixture(scope="module")
def modules(pack):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    core = {name: f"latentsync_core.{name}" for name in ("media", "demo", "errors", "diffusion", "audio")}
    paths = {**core, "unet": "latentsync_core.models.unet", "native": "nodes.host.native_musetalk"}
    return SimpleNamespace(**{name: load(path) for name, path in paths.items()})


@pytest.fixture(scope="module")
def checkpoint(modules) -> Iterator[Path]:
    """A narrow MuseTalk of random weights where Load MuseTalk Model lists it, as long as these tests run."""
    import folder_paths

    seeded, tiny = importlib.import_module("seeded"), importlib.import_module("tiny_musetalk")
    folder = Path(folder_paths.get_folder_paths("latentsync")[0])
    folder.mkdir(parents=True, exist_ok=True)
    unet = modules.unet.UNet3DConditionModel(modules.unet.UNetConfig.from_dict({**seeded.NARROW_UNET, **tiny.SHAPE}))
    path = folder / "narrow_musetalk_1.0.safetensors"
    modules.unet.save_unet(seeded.seed_weights(unet, prefix="musetalk."), path, {"resolution": str(tiny.SIDE)})
    yield path
    path.unlink()  # the lists of the other tests are as they were


@pytest.fixture(scope="module")
def clip(modules) -> dict:
    """The packaged portrait's first frames as IMAGE, and as much of its voice as AUDIO."""
    with modules.media.VideoReader(modules.demo.CLIP) as reader:
        images = torch.from_numpy(np.stack([frame.rgb() for frame in reader.frames(0, FRAMES)])).float() / 255
    waveform = torch.from_numpy(modules.media.read_waveform(modules.demo.VOICE, 16_000)[: 16_000 * FRAMES // 25].copy())
    return {"images": images, "audio": {"waveform": waveform[None, None], "sample_rate": 16_000}}


@pytest.fixture(scope="module")
def graph(node_classes, checkpoint, clip) -> SimpleNamespace:
    """What the nodes hand on, up to the sampler."""

    def run(node: str, *inputs, **options):
        return node_classes[f"LatentSync{node}"].execute(*inputs, **options).args

    model, side = run("LoadMuseTalkModel", checkpoint.name, "auto", 4, "fp32")
    (whisper,) = run("LoadWhisper", "embedded (one portrait)", generator="musetalk")
    (vae,) = run("LoadVAE", "embedded (one portrait)")
    faces, _, mask = run("FaceTrack", 25.0, "smooth", 0.5, 10, images=clip["images"], model=model)
    (features,) = run("AudioFeatures", clip["audio"], whisper, "overlap", False)
    tokens = run("AudioChunks", features, faces, "video", "none", 16, 0.0)[0]
    face_latents, crops = run("FaceEncode", faces, vae, side, "all frames")
    positive, negative, latent = run("Conditioning", face_latents, tokens)
    return SimpleNamespace(**locals())


def sample(model, graph, steps: int = 1, cfg: float = 1.0, seed: int = SEED) -> torch.Tensor:
    """A stock KSampler: (frames, 4, h, w) unscaled."""
    import comfy.sample

    latent = graph.latent["samples"]
    start = comfy.sample.prepare_noise(latent, seed)
    run = (model, start, steps, cfg, "euler", "simple", graph.positive, graph.negative, latent)
    return comfy.sample.sample(*run, disable_pbar=True, seed=seed)


def relative(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


def test_one_step_is_the_librarys_pass_whatever_the_noise(modules, checkpoint, graph):
    unet = modules.unet.load_unet(checkpoint)
    faces = graph.face_latents.pairs(range(FRAMES))
    expected = modules.diffusion.redraw_latents(unet, faces, graph.tokens.tokens[0:FRAMES])
    assert relative(sample(graph.model, graph) * SCALE, expected) < 1e-4
    assert relative(sample(graph.model, graph, steps=3, seed=SEED + 1) * SCALE, expected) < 1e-4


@pytest.mark.parametrize(("name", "unit"), [("fp8_e4m3fn", 2**-4), ("fp8_e5m2", 2**-3)])
def test_weights_stored_in_fp8_are_rounded_and_no_more(node_classes, checkpoint, graph, name, unit):
    """The bound is that of Load Model's weights in tests/nodes/test_native_model.py, of which this has fewer."""
    model, _ = node_classes["LatentSyncLoadMuseTalkModel"].execute(checkpoint.name, "auto", 4, name).args
    assert str(model.model.get_dtype()) == f"torch.{name.replace('fp8', 'float8')}"
    assert model.model_size() < sum(weight.nelement() for weight in model.model.diffusion_model.parameters()) * 1.2
    assert 0 < relative(sample(model, graph), sample(graph.model, graph)) < 4 * unit


def test_faces_and_voice_are_musetalks_own(modules, graph, clip):
    assert graph.model.model.box == type(graph.model.model.box)("1.0", 4) and graph.side == 64
    assert graph.crops.shape == (FRAMES, 64, 64, 3)
    left, top, right, bottom = graph.faces.crops(64, importlib.import_module("latentsync_core.options").Seam()).boxes[0]
    middle = (graph.faces.track.mesh[0, 195, 1] + 4 - top) / (bottom - top)
    assert abs(middle - 0.5) < 0.02  # 4 pixels below the bridge of the nose
    assert graph.tokens.tokens.indices[0, :4].tolist() == [-1, -1, -1, -1]


def test_the_jaw_is_pasted_and_nothing_else(node_classes, graph, clip):
    result = {"samples": sample(graph.model, graph)}
    blend = node_classes["LatentSyncFaceBlend"]
    images, mask = blend.execute(
        graph.faces, graph.tokens, "mouth", 16, "ffv1", "all frames", latent=result, vae=graph.vae
    ).args[1:3]
    assert torch.equal(mask[0] > 0, graph.mask[0] > 0)  # as Face Track has shown it
    changed = (images != clip["images"]).any(-1)
    assert changed[mask > 0.9].float().mean() > 0.5 and not changed[mask == 0].any()
    left, top, right, bottom = graph.faces.crops(64, importlib.import_module("latentsync_core.options").Seam()).boxes[0]
    inside = torch.zeros_like(mask[0])
    inside[(top + bottom) // 2 - 20 : bottom, left:right] = 1
    assert mask[0][inside == 0].max() == 0


def test_what_it_has_not_is_refused(modules, node_classes, graph):
    refused = modules.errors.LatentSyncError
    with pytest.raises(refused, match="set the sampler's cfg to 1"):
        sample(graph.model, graph, cfg=2.0)
    with pytest.raises(refused, match="no steps between which to reuse features"):
        node_classes["LatentSyncFeatureReuse"].execute(graph.model, 3, 0)
    with pytest.raises(refused, match="no feather and no grow"):
        node_classes["LatentSyncFaceBlend"].execute(
            graph.faces, graph.tokens, "mouth", 16, "ffv1", "first frame", latent=graph.latent, vae=graph.vae, grow=2.0
        )


def test_our_sampler_redraws_as_a_stock_one_does(node_classes, graph):
    inputs = graph.model, graph.positive, graph.negative, graph.latent
    ours = node_classes["LatentSyncSampler"].execute(*inputs, 20, 1.5, SEED, "ddim").args[0]["samples"]
    assert relative(ours, sample(graph.model, graph)) < 1e-5  # a sampler's step from other noise rounds otherwise


def test_faces_voice_and_model_of_different_generators_are_told_apart(modules, node_classes, narrow, graph, clip):
    refused, track = modules.errors.LatentSyncError, node_classes["LatentSyncFaceTrack"]
    faces = track.execute(25.0, "smooth", 0.5, 10, images=clip["images"]).args[0]
    others = node_classes["LatentSyncFaceEncode"].execute(faces, graph.vae, 64, "first frame").args[0]
    with pytest.raises(refused, match="faces are cut for LatentSync, the voice is heard for MuseTalk"):
        node_classes["LatentSyncConditioning"].execute(others, graph.tokens)
    latentsync = importlib.import_module(f"{modules.native.__package__}.native_model")
    model = latentsync.native_model(narrow.checkpoint(), torch.float32, "shared")
    with pytest.raises(refused, match="made ready for MuseTalk, this model is LatentSync"):
        sample(model, graph)
    assert Fraction(graph.faces.fps) == 25
