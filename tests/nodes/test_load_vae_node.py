"""Load VAE: the embedded autoencoder is an ordinary VAE of the host, and gives what the library's codec gives."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

TOLERANCE = 1e-5  # pixels in 0..1, unscaled latents around 1: the same float32 network, other batches


@pytest.fixture(scope="module")
def load(pack):
    return importlib.import_module(f"{pack.__name__}.nodes.load")


@pytest.fixture(scope="module")
def vae(load):
    return load.LoadVAE.execute(load.EMBEDDED).args[0]


@pytest.fixture(scope="module")
def codec(pack):
    return importlib.import_module(f"{pack.__name__}.latentsync_core.models.embedded").embedded_models()[1]


@pytest.fixture(scope="module")
def host_codec(pack, vae):
    return importlib.import_module(f"{pack.__name__}.nodes.host.vae").HostCodec(vae)


@pytest.fixture(scope="module")
def faces(pack):
    """The portrait as the model sees it: (5, 3, 128, 128) in [-1, 1], every face a little darker than the last."""
    core = f"{pack.__name__}.latentsync_core"
    clip = importlib.import_module(f"{core}.demo").CLIP
    with importlib.import_module(f"{core}.media").VideoReader(clip) as reader:
        frame = torch.from_numpy(next(reader.frames(0, 1)).rgb().copy()).permute(2, 0, 1).float()
    face = torch.nn.functional.interpolate(frame[None, :, 64:320, 128:384], size=(128, 128), mode="area") / 127.5 - 1
    return torch.cat([face * (1 - 0.1 * i) for i in range(5)])


def alike(picture, original) -> bool:
    """Whether a picture shows what the original shows; a small network draws it softly."""
    return torch.corrcoef(torch.stack([picture.flatten(), original.flatten()]))[0, 1] > 0.8


def test_it_is_a_vae_like_any_other(vae):
    import comfy.sd

    assert type(vae) is comfy.sd.VAE
    assert (vae.latent_channels, vae.spacial_compression_encode(), vae.spacial_compression_decode()) == (4, 8, 8)
    assert vae.patcher.model is vae.first_stage_model
    assert vae.model_size() == vae.patcher.model_size() == sum(p.nbytes for p in vae.first_stage_model.parameters())


def test_latents_are_those_of_the_librarys_codec(host_codec, codec, faces):
    ours, theirs = codec.encode(faces), host_codec.encode(faces)
    assert ours.mean.std() > 0.5
    assert (theirs.mean - ours.mean).abs().max() < TOLERANCE
    assert (theirs.std == 0).all()


def test_pixels_are_those_of_the_librarys_codec(host_codec, codec, faces):
    latents = codec.encode(faces).mean
    ours, theirs = codec.decode(latents), host_codec.decode(latents)
    assert alike(ours, faces)
    assert (theirs - ours).abs().max() < 2 * TOLERANCE


@torch.inference_mode()  # as the host runs its nodes
def test_stock_nodes_take_it(vae, faces):
    from nodes import VAEDecode, VAEDecodeTiled, VAEEncode, VAEEncodeTiled

    images = faces.movedim(1, -1) / 2 + 0.5
    (latent,) = VAEEncode().encode(vae, images)
    assert latent["samples"].shape == (5, 4, 16, 16)
    (back,) = VAEDecode().decode(vae, latent)
    assert back.shape == images.shape and alike(back, images)
    (tiled,) = VAEDecodeTiled().decode(vae, latent, tile_size=64, overlap=32)
    assert tiled.shape == images.shape and alike(tiled, images)
    (tiled_latent,) = VAEEncodeTiled().encode(vae, images, tile_size=64, overlap=16)
    assert tiled_latent["samples"].shape == latent["samples"].shape


def test_pictures_of_any_size_go_through(vae):
    latents = vae.encode(torch.rand(1, 76, 101, 3))
    assert latents.shape == (1, 4, 9, 12)
    assert vae.decode(latents).shape == (1, 72, 96, 3)


def test_the_host_can_send_it_away_and_fetch_it_back(vae, faces):
    import comfy.model_management

    images = faces.movedim(1, -1) / 2 + 0.5
    before = vae.encode(images)
    comfy.model_management.unload_all_models()
    assert vae.patcher.model not in [entry.model.model for entry in comfy.model_management.current_loaded_models]
    assert torch.equal(vae.encode(images), before)


def test_model_and_vae_that_do_not_belong_together_are_refused(load, pack):
    native = importlib.import_module(f"{pack.__name__}.nodes.host.native_model")
    unets = importlib.import_module(f"{pack.__name__}.latentsync_core.models.unet")
    refusal = importlib.import_module(f"{pack.__name__}.latentsync_core.errors").LatentSyncError
    model, resolution = load.LoadModel.execute(load.EMBEDDED, "shared", 0, "fp32").args
    assert resolution == 128
    embedded = model.model.diffusion_model
    with torch.device("meta"):
        published = unets.UNet3DConditionModel(unets.UNetConfig())
    published.metadata = {}
    native.require_fitting_vae(embedded, True)
    native.require_fitting_vae(published, False)
    native.require_fitting_vae(published, None)
    with pytest.raises(refusal, match=r"sees through the embedded VAE only.*LatentSync Load VAE"):
        native.require_fitting_vae(embedded, False)
    with pytest.raises(refusal, match=r"encoded by the embedded VAE.*sd-vae-ft-mse"):
        native.require_fitting_vae(published, True)


def test_a_file_gives_what_the_hosts_loader_gives(load, pack, tmp_path, monkeypatch):
    import folder_paths
    from diffusers import AutoencoderKL
    from safetensors.torch import save_file

    from nodes import VAELoader

    core = importlib.import_module("seeded")
    shape = importlib.import_module(f"{pack.__name__}.latentsync_core.models.vae").SD_SHAPE
    save_file(
        core.seed_weights(AutoencoderKL(**shape), prefix="node.vae.").half().state_dict(), tmp_path / "a.safetensors"
    )
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "vae", ([str(tmp_path)], {".safetensors"}))
    options = load.LoadVAE.define_schema().inputs[0].options
    assert options == ["a.safetensors", load.EMBEDDED]
    ours, stock = load.LoadVAE.execute("a.safetensors").args[0], VAELoader().load_vae("a.safetensors")[0]
    assert type(ours.first_stage_model) is type(stock.first_stage_model)
    weights = ours.get_sd()
    assert all(torch.equal(weights[name], tensor) for name, tensor in stock.get_sd().items())


def test_the_embedded_model_refuses_a_face_that_is_not_its_own_unless_it_is_for_any(load, pack):
    native = importlib.import_module(f"{pack.__name__}.nodes.host.native_model")
    refusal = importlib.import_module(f"{pack.__name__}.latentsync_core.errors").LatentSyncError
    own, any_face = (
        load.LoadModel.execute(choice, "shared", 0, "fp32").args[0].model.diffusion_model
        for choice in (load.EMBEDDED, load.EMBEDDED_ANY_FACE)
    )
    native.require_known_face(own, None)
    native.require_known_face(own, 0.06)
    native.require_known_face(any_face, 0.3)
    with pytest.raises(refusal, match=r"not the one face.*download 1.6.*embedded \(any face\).*Load Model"):
        native.require_known_face(own, 0.3)


def test_face_encode_measures_the_face_and_conditioning_hands_it_on(load, pack):
    from PIL import Image, ImageOps

    names = ("faces", "conditioning", "host.native_model")
    faces, conditioning, native = (importlib.import_module(f"{pack.__name__}.nodes.{name}") for name in names)
    types = importlib.import_module(f"{pack.__name__}.nodes.types")
    diffusion = importlib.import_module(f"{pack.__name__}.latentsync_core.diffusion")
    vae = load.LoadVAE.execute(load.EMBEDDED).args[0]
    portrait = Image.open(Path(__file__).parents[1] / "faces" / "astronaut.jpg")
    dark = Image.fromarray((255 * (np.asarray(ImageOps.mirror(portrait)) / 255) ** 2.5).astype(np.uint8))
    errors = []
    for picture in (portrait, dark):
        images = torch.from_numpy(np.array(picture)).float()[None] / 255
        tracked = faces.FaceTrack.execute(25.0, "smooth", 0.5, 10, images=images).args[0]
        latents = faces.FaceEncode.execute(tracked, vae, 128, "first frame").args[0]
        voice = types.ClipTokens(SimpleNamespace(source=(0,)), (diffusion.Window(0, 1),), torch.zeros(1, 50, 96), {})
        positive = conditioning.Conditioning.execute(latents, voice).args[0]
        errors.append(positive[0][1][native.FACE_ERROR])
    assert errors[0] < 0.1 and errors[1] > 0.2
