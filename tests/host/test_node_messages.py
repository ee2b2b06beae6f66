"""What a node has to say to its user while it runs reaches the canvas, in the node that says it."""

import json
from pathlib import Path

from host_server import FAST_VAE, UNET, WHISPER

WORKFLOW = Path(__file__).parents[2] / "workflows" / "api" / "lipsync_simple.json"


def warnings_in_nodes(client, workflow: dict) -> list[tuple[str, str]]:
    """The node and the words of what is said about the crop size while the workflow runs."""
    run = client.run(workflow)
    assert run.error is None, run.error["exception_message"]
    return [(node, text) for node, text in run.texts if "px was asked for" in text]


def prepared(resolution: int, clip: str, voice: str) -> tuple[dict, str]:
    """The simple workflow on tiny models at a crop size of its own, and the id of its Lip Sync."""
    workflow = json.loads(WORKFLOW.read_text())
    inputs = {entry["class_type"]: entry["inputs"] for entry in workflow.values()}
    inputs["LoadVideo"]["file"], inputs["LoadAudio"]["audio"] = clip, voice
    inputs["LatentSyncLoadModel"]["checkpoint"], inputs["LatentSyncLoadWhisper"]["whisper"] = UNET, WHISPER
    inputs["VAELoader"]["vae_name"] = FAST_VAE
    inputs["LatentSyncLipSync"].update(steps=1, resolution=resolution)
    return workflow, next(n for n, entry in workflow.items() if entry["class_type"] == "LatentSyncLipSync")


def test_a_crop_size_that_is_not_the_models_is_told_in_the_node(host, client, short_clip, short_voice):
    workflow, node = prepared(64, short_clip, short_voice)
    ((where, text),) = warnings_in_nodes(client, workflow)
    assert where == node
    assert text.startswith("64 px was asked for") and "trained at 128 px" in text
    assert text in host.log


def test_zero_is_the_models_own_and_nothing_is_said(client, short_clip, short_voice):
    workflow, _ = prepared(0, short_clip, short_voice)
    assert warnings_in_nodes(client, workflow) == []
