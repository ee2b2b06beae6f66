"""Face Blend: limits, seam and mask are obeyed, and a small mask says for every frame whether it was synced."""

import importlib
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

FRAMES = 9


@pytest.fixture(scope="module")
def modules(pack):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    return SimpleNamespace(
        blend=load("nodes.blend"),
        types=load("nodes.types"),
        faces=load("latentsync_core.faces"),
        media=load("latentsync_core.media"),
        errors=load("latentsync_core.errors"),
        timeline=load("latentsync_core.pipeline.timeline"),
        windows=load("latentsync_core.diffusion"),
        clip=load("latentsync_core.demo").CLIP,
    )


@pytest.fixture(scope="module")
def clip(modules):
    """The demo clip's first frames as Face Track and Audio Chunks hand them on; three of them are silent."""
    with modules.media.VideoReader(modules.clip) as reader:
        images = torch.from_numpy(np.stack([frame.rgb() for frame in reader.frames(0, FRAMES)])).float() / 255
    track = modules.faces.track_faces((images * 255).round().byte().numpy())
    times = tuple(Fraction(i, 25) for i in range(FRAMES))
    reader = lambda: modules.media.ImageReader(images, Fraction(25))  # noqa: E731
    faces = modules.types.TrackedFaces(reader, track, times, Fraction(25), False, "smooth")
    timeline = modules.timeline.plan_timeline(
        times, Fraction(25), Fraction(FRAMES, 25), length="video", extend="none", rate=None, variable=False
    )
    shown = np.array([1.0] * 6 + [0.0] * 3, np.float32)
    audio = {"waveform": torch.zeros(1, 1, 16000 * FRAMES // 25), "sample_rate": 16000}
    windows = (modules.windows.Window(0, 6), modules.windows.Window(3, FRAMES))  # that overlap
    return images, faces, modules.types.ClipTokens(timeline, windows, None, audio, shown)


def blend(modules, clip, **options):
    """images (frames, H, W, 3), mask (frames, H, W) and the small mask of a run with white faces."""
    _, faces, tokens = clip
    white = torch.ones(FRAMES, 128, 128, 3)
    options = {"crf": 16, "codec": "ffv1", "images_out": "all frames", "color_match": "off", **options}
    return modules.blend.FaceBlend.execute(faces, tokens, "mouth", crops=white, **options).args[1:]


def test_the_small_mask_says_which_frames_were_synced(modules, clip):
    _, mask, synced = blend(modules, clip)
    assert mask.shape == (FRAMES, 512, 512) and synced.shape == (FRAMES, 64, 64)
    assert (synced.amax((1, 2)) == mask.amax((1, 2))).all()
    assert synced.amax((1, 2)).tolist()[6:] == [0, 0, 0] and synced[:6].amax((1, 2)).min() > 0.99
    one, first, again = blend(modules, clip, images_out="first frame")
    assert len(one) == len(first) == 1 and torch.equal(again, synced)


def test_a_limit_of_the_turn_fades_the_mouth(modules, clip):
    _, _, synced = blend(modules, clip, max_pitch=0.0)  # the portrait looks a few degrees down
    assert 0 < synced[0].max() < 0.9


def test_black_in_the_limit_keeps_the_pixels(modules, clip):
    limit = torch.ones(1, 512, 512)
    limit[:, :, :256] = 0
    images, mask, _ = blend(modules, clip, limit=limit)
    assert torch.equal(images[:, :, :256], clip[0][:, :, :256]) and mask[:, :, :256].max() == 0
    assert not torch.equal(images[0, :, 256:], clip[0][0, :, 256:])
    small = blend(modules, clip, limit=limit[:, ::8, ::8])[0]
    assert torch.equal(small[:, :, :248], clip[0][:, :, :248]) and not torch.equal(small[0], clip[0][0])
    with pytest.raises(modules.errors.LatentSyncError, match="1 pictures of 8x6 pixels"):
        blend(modules, clip, limit=torch.ones(1, 6, 8))


def test_shape_and_width_are_as_asked_for(modules, clip):
    areas = [
        float(blend(modules, clip, images_out="first frame", **options)[1].sum())
        for options in ({"mask": "mesh"}, {}, {"grow": 3.0})
    ]
    assert areas[0] < areas[1] < areas[2]
