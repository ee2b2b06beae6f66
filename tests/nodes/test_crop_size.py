"""The crop size follows the model unless another is asked for; where they differ, node and log say so."""

import importlib
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def modules(pack):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    return SimpleNamespace(
        faces=load("nodes.faces"),
        load=load("nodes.load"),
        types=load("nodes.types"),
        core=load("latentsync_core.faces"),
        media=load("latentsync_core.media"),
        errors=load("latentsync_core.errors"),
        clip=load("latentsync_core.demo").CLIP,
    )


@pytest.fixture(scope="module")
def embedded(modules):
    """The embedded model and VAE as their loaders give them, and the size that the first wants."""
    model, size = modules.load.LoadModel.execute(modules.load.EMBEDDED, "shared", 0, "fp32").args
    return model, modules.load.LoadVAE.execute(modules.load.EMBEDDED).args[0], size


@pytest.fixture(scope="module")
def faces(modules):
    """Two frames of the demo clip, tracked."""
    with modules.media.VideoReader(modules.clip) as reader:
        images = torch.from_numpy(np.stack([frame.rgb() for frame in reader.frames(0, 2)])).float() / 255
    track = modules.core.track_faces((images * 255).round().byte().numpy())
    reader = lambda: modules.media.ImageReader(images, Fraction(25))  # noqa: E731
    return modules.types.TrackedFaces(reader, track, (Fraction(0), Fraction(1, 25)), Fraction(25), False, "smooth")


def encoded(modules, faces, vae, resolution: int, model=None) -> int:
    """The crop size of what Face Encode gives."""
    return modules.faces.FaceEncode.execute(faces, vae, resolution, "first frame", model=model).args[0].resolution


def test_zero_takes_the_models_own(modules, embedded, faces, caplog):
    model, vae, size = embedded
    assert size == 128
    assert encoded(modules, faces, vae, 0, model) == size
    assert "asked for" not in caplog.text


def test_another_size_is_kept_and_warned_about(modules, embedded, faces, caplog):
    model, vae, size = embedded
    assert encoded(modules, faces, vae, 256) == 256  # a saved workflow: nothing is connected to compare with
    assert "asked for" not in caplog.text
    assert encoded(modules, faces, vae, 256, model) == 256
    assert f"256 px was asked for, but the connected model was trained at {size} px" in caplog.text


def test_zero_without_a_model_is_refused_in_a_sentence(modules, embedded, faces):
    with pytest.raises(modules.errors.LatentSyncError, match="no model is connected"):
        encoded(modules, faces, embedded[1], 0)
