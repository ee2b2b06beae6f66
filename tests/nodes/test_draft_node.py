"""Draft: the filmed mouth itself moves as the voice asks, later with an offset, and not where the clip is silent."""

import importlib
import wave
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

FRAMES = 25


@pytest.fixture(scope="module")
def modules(pack):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    core = {"faces": "faces", "media": "media", "timeline": "pipeline.timeline", "windows": "diffusion"}
    core |= {"demo": "demo", "audio": "audio", "errors": "errors"}
    return SimpleNamespace(
        draft=load("nodes.draft"),
        types=load("nodes.types"),
        **{name: load(f"latentsync_core.{path}") for name, path in core.items()},
    )


@pytest.fixture(scope="module")
def clip(modules):
    """A second of the demo clip and of its voice, as Face Track and Audio Chunks hand them on; the end is silent."""
    with modules.media.VideoReader(modules.demo.CLIP) as reader:
        images = torch.from_numpy(np.stack([frame.rgb() for frame in reader.frames(0, FRAMES)])).float() / 255
    track = modules.faces.track_faces((images * 255).round().byte().numpy())
    times = tuple(Fraction(i, 25) for i in range(FRAMES))
    reader = lambda: modules.media.ImageReader(images, Fraction(25))  # noqa: E731
    faces = modules.types.TrackedFaces(reader, track, times, Fraction(25), False, "smooth")
    timeline = modules.timeline.plan_timeline(
        times, Fraction(25), Fraction(1), length="video", extend="none", rate=None, variable=False
    )
    with wave.open(str(modules.demo.VOICE)) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getframerate()), np.int16)
    audio = {"waveform": torch.from_numpy(samples.astype(np.float32) / 32768)[None, None], "sample_rate": rate}
    voice = modules.types.VoiceFeatures(None, audio, Fraction(1), None, "keep")
    shown = np.array([1.0] * 20 + [0.0] * 5, np.float32)
    windows = (modules.windows.Window(0, FRAMES),)
    return images, faces, modules.types.ClipTokens(timeline, windows, None, audio, shown, voice)


def drafted(modules, faces, tokens, **options):
    """images, mask and small mask of a run."""
    options = {"crf": 16, "codec": "ffv1", "images_out": "all frames", **options}
    return modules.draft.Draft.execute(faces, tokens, **options).args[1:]


def test_lips_move_where_the_voice_speaks_and_nothing_else_does(modules, clip):
    images, faces, tokens = clip
    drawn, mask, synced = drafted(modules, faces, tokens)
    assert drawn.shape == images.shape and synced.shape == (FRAMES, 64, 64)
    changed = (drawn != images).any(-1)
    assert changed[:20].flatten(1).any(1).sum() >= 15 and not changed[20:].any()
    assert not changed[:, : images.shape[1] // 3].any(), "eyes and brows stay"
    assert changed.float().mean() < 0.1 and not (changed & (mask == 0)).any()


def test_an_offset_moves_the_mouth_and_not_the_frames(modules, clip):
    _, faces, tokens = clip
    tokens = replace(tokens, shown=None)
    at_once = drafted(modules, faces, tokens)[0]
    late = drafted(modules, faces, replace(tokens, offset=200.0))[0]
    assert (at_once != late).any()


def test_a_limit_keeps_the_videos_pixels(modules, clip):
    images, faces, tokens = clip
    limit = torch.zeros(1, *images.shape[1:3])
    drawn, _, synced = drafted(modules, faces, tokens, limit=limit)
    assert torch.equal(drawn, images) and not synced.any()


def test_tokens_without_a_voice_are_refused(modules, clip):
    _, faces, tokens = clip
    with pytest.raises(modules.errors.LatentSyncError, match="Audio Chunks"):
        drafted(modules, faces, replace(tokens, voice=None))
