"""The draft through the whole pipeline: any face speaks without a download, and says so where it stands in."""

import json
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.errors import LatentSyncError
from latentsync_core.generators.draft.generator import Draft
from latentsync_core.generators.latentsync.generator import LatentSync
from latentsync_core.media import EncodeSettings, VideoReader
from latentsync_core.models.loading import load_models
from latentsync_core.options import Guidance, Seam
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.settings import Settings

pytestmark = pytest.mark.long

LOSSLESS = EncodeSettings(codec="ffv1")


def test_the_packaged_clip_says_what_the_voice_asks_for(tmp_path):
    out, report = tmp_path / "out.mp4", tmp_path / "out.json"
    files = ["--video", str(CLIP), "--audio", str(VOICE), "--out", str(out), "--report", str(report)]
    assert main(["sync", "--generator", "draft", "--encoder-preset", "ultrafast", *files]) == 0
    told = json.loads(report.read_text())
    scores = told["scores"]
    assert told["models"]["generator"] == "draft" and told["output_frames"]["untouched"] == 0
    assert scores["correlation"] >= 0.8 and abs(scores["offset_frames"]) <= 1
    assert scores["mouth"]["jitter"] <= 1.0  # of what the voice itself asks for


@pytest.fixture(scope="module")
def foreign(footage, tmp_path_factory) -> tuple[Path, Path]:
    """A second of somebody the embedded model does not know, and of her voice."""
    import av

    folder = tmp_path_factory.mktemp("foreign")
    with av.open(str(footage / "demo3_video.mp4")) as source, av.open(str(folder / "clip.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts * packet.time_base < 1:
                packet.stream = stream
                target.mux(packet)
    return folder / "clip.mkv", footage / "demo3_audio.wav"


def test_it_stands_in_for_the_embedded_model_before_a_face_that_spoils(foreign, tmp_path):
    models = load_models("embedded", device="cpu")
    fallback = LatentSync(type(models)(**{**vars(models), "fallback": True}), instead=Draft())
    report = lipsync(*foreign, tmp_path / "out.mkv", fallback, Settings(length="shortest", encode=LOSSLESS))
    assert report.models["generator"] == "draft"
    assert any("not the one face" in warning and "draft" in warning for warning in report.warnings)
    assert report.output_frames["synced"] > 20
    with VideoReader(foreign[0]) as before, VideoReader(tmp_path / "out.mkv") as after:
        pairs = zip(before.frames(0, 20), after.frames(0, 20), strict=True)
        changed = np.stack([(a.rgb() != b.rgb()).any(-1) for a, b in pairs])
    assert 0.001 < changed.mean() < 0.1, "the lower face alone moves"


def test_what_it_has_not_is_refused_by_name(tmp_path):
    for settings, named in (
        (Settings(steps=30), "steps"),
        (Settings(guidance=Guidance(2.0)), "guidance"),
        (Settings(seed=5), "seed"),
        (Settings(resolution=512), "resolution"),
        (Settings(seam=Seam(feather=9.0)), "feather"),
    ):
        with pytest.raises(LatentSyncError, match=f"draft has no .*{named}"):
            lipsync(CLIP, VOICE, tmp_path / "out.mp4", Draft(), settings)
    files = ["--video", str(CLIP), "--audio", str(VOICE), "--out", str(tmp_path / "out.mp4")]
    assert main(["sync", "--generator", "draft", "--checkpoint", "embedded", *files]) == 2
