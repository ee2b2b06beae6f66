"""Face Track finds again what an earlier session found in the same file, and the command line finds it too."""

import importlib
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

FRAMES = 3


@pytest.fixture
def clip(pack, tmp_path) -> Path:
    """The first frames of the demo clip."""
    media = importlib.import_module(f"{pack.__name__}.latentsync_core.media")
    demo = importlib.import_module(f"{pack.__name__}.latentsync_core.demo")
    lossless, path = media.EncodeSettings(codec="ffv1"), tmp_path / "clip.mkv"
    with media.VideoReader(demo.CLIP) as reader, media.VideoWriter(path, reader.info, lossless) as writer:
        for frame in reader.frames(0, FRAMES):
            writer.write(frame.picture)
    return path


@pytest.mark.long
def test_a_file_is_tracked_once_and_its_track_is_the_command_lines(pack, node_classes, clip, monkeypatch):
    from comfy_api.latest import InputImpl

    core = f"{pack.__name__}.latentsync_core"
    face_track = node_classes["LatentSyncFaceTrack"]

    def track(max_gap: int = 10):
        return face_track.execute(25.0, "smooth", 0.5, max_gap, video=InputImpl.VideoFromFile(str(clip))).args

    first = track()
    tracking = importlib.import_module(f"{pack.__name__}.nodes.host.tracking")
    monkeypatch.setattr(tracking, "track_numbered", lambda *_, **__: pytest.fail("it is tracked again"))
    faces, preview, mask = track()
    assert faces.times == first[0].times and (faces.track.mesh == first[0].track.mesh).all()
    assert torch.equal(preview, first[1]) and torch.equal(mask, first[2])
    with pytest.raises(pytest.fail.Exception, match="tracked again"):
        track(max_gap=4)

    lipsync = importlib.import_module(f"{core}.pipeline.lipsync")
    plan = importlib.import_module(f"{core}.pipeline.plan")
    settings = importlib.import_module(f"{core}.pipeline.settings").Settings
    cache = importlib.import_module(f"{core}.disk_cache").DiskCache(os.environ["LATENTSYNC_CACHE"])
    inputs = plan.Inputs.probe(clip, importlib.import_module(f"{core}.demo").VOICE)
    asked = replace(settings(), cache=cache, length="video")
    models = importlib.import_module(f"{core}.models.loading").Models(None, None, None)
    voice = type("Voice", (), {"seconds": Fraction(1)})
    callbacks = importlib.import_module(f"{core}.progress").Callbacks()
    tracked = lipsync.track_inputs(inputs, models, asked, voice, callbacks)
    assert cache.found["face tracks"] == 1 and (tracked.track.mesh == faces.track.mesh).all()
