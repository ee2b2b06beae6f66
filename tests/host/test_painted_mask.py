"""A mask that is painted in the host's mask editor limits what Lip Sync changes."""

from pathlib import Path

import numpy as np
import pytest
from own_files import with_own_files
from PIL import Image

from latentsync_core.media import VideoReader

WORKFLOW = Path(__file__).parents[2] / "workflows" / "api" / "try_without_download.json"
PAINTED, FRAME = 256, 512  # pixels of the picture that is painted on, and of the video: half its size
LIMIT = "2000"


@pytest.fixture(scope="module")
def painted(client, short_clip, short_voice, tmp_path_factory) -> dict:
    """The workflow of one node, with a picture whose right half is painted: the mask editor makes that transparent."""
    picture = Image.new("RGBA", (PAINTED, PAINTED), (128, 128, 128, 255))
    picture.paste((0, 0, 0, 0), (PAINTED // 2, 0, PAINTED, PAINTED))
    path = tmp_path_factory.mktemp("painted") / "painted.png"
    picture.save(path)
    workflow = with_own_files(WORKFLOW, short_clip, short_voice)
    workflow[LIMIT] = {"class_type": "LoadImage", "inputs": {"image": client.upload(path)}}
    for node in workflow.values():
        if node["class_type"] == "LatentSyncLipSync":
            node["inputs"].update(steps=2, seed=3, limit=[LIMIT, 1])
    return workflow


def test_only_what_is_painted_changes_and_the_scaling_is_said(client, host, painted, short_clip):
    run = client.run(painted)
    assert run.error is None, run.error["exception_message"]
    assert any(f"{PAINTED}x{PAINTED} pixels, the video {FRAME}x{FRAME}; it is scaled" in text for _, text in run.texts)
    with VideoReader(host.base / "input" / short_clip) as before, VideoReader(run.files[-1]) as after:
        pairs = zip(before.frames(0, 8), after.frames(0, 8), strict=True)
        changes = [np.abs(a.rgb().astype(int) - b.rgb()).mean(2) for a, b in pairs]
    mouth = np.stack(changes)[:, 280:420]
    kept, changed = mouth[:, :, 150 : FRAME // 2 - 8], mouth[:, :, FRAME // 2 + 8 : 360]
    assert changed.mean() > 3 * kept.mean()  # the encoder alone changes what is kept
    assert kept.mean() < 2


def test_a_mask_of_another_shape_is_refused_in_a_sentence(client, painted, tmp_path):
    wide = tmp_path / "wide.png"
    Image.new("RGBA", (640, 360), (0, 0, 0, 0)).save(wide)
    workflow = {**painted, LIMIT: {"class_type": "LoadImage", "inputs": {"image": client.upload(wide)}}}
    run = client.run(workflow)
    assert "1 pictures of 640x360 pixels; the video has 16 frames of 512x512" in run.error["exception_message"]
