"""A bundled workflow with a clip, a voice and models of the tests' own."""

import json
from pathlib import Path

from host_server import FAST_VAE, UNET, WHISPER

STAGES = Path(__file__).parents[2] / "workflows" / "api" / "lipsync.json"
TINY = {
    "LatentSyncLoadModel": {"checkpoint": UNET},
    "LatentSyncLoadWhisper": {"whisper": WHISPER},
    "VAELoader": {"vae_name": FAST_VAE},
    "LatentSyncSampler": {"steps": 1},
}
VIDEO, AUDIO = "1000", "1001"  # ids of the loaders that take the sample's place


def with_own_files(path: Path, clip: str, voice: str) -> dict:
    """The workflow in API form, its clip and voice from the server's input folder, whichever node gave them."""
    workflow = json.loads(path.read_text())
    samples = [number for number, node in workflow.items() if node["class_type"] == "LatentSyncSample"]
    for number in samples:
        del workflow[number]
        workflow[VIDEO] = {"class_type": "LoadVideo", "inputs": {}}
        workflow[AUDIO] = {"class_type": "LoadAudio", "inputs": {}}
    loaders = {0: [VIDEO, 0], 1: [AUDIO, 0]}  # by the sample's output
    for node in workflow.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in samples:
                node["inputs"][name] = loaders[value[1]]
        node["inputs"].update({"LoadVideo": {"file": clip}, "LoadAudio": {"audio": voice}}.get(node["class_type"], {}))
    return workflow


def tiny_stages(clip: str, voice: str, changes: dict[str, dict]) -> dict:
    """The workflow of the separate stages on tiny models; changes: inputs by kind of node."""
    workflow = with_own_files(STAGES, clip, voice)
    for node in workflow.values():
        node["inputs"].update({**TINY, **changes}.get(node["class_type"], {}))
    return workflow
