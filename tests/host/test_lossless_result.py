"""What becomes of a lossless result in Save Video is what Face Blend's tooltip and message say."""

import json
from pathlib import Path

import av
from host_server import FAST_VAE, UNET, WHISPER

WORKFLOW = Path(__file__).parents[2] / "workflows" / "api" / "lipsync.json"
TINY = {
    "LatentSyncLoadModel": {"checkpoint": UNET},
    "LatentSyncLoadWhisper": {"whisper": WHISPER},
    "VAELoader": {"vae_name": FAST_VAE},
    "LatentSyncSampler": {"steps": 1},
    "LatentSyncFaceBlend": {"codec": "ffv1"},
}


def lossless(clip: str, voice: str, saved: dict) -> dict:
    """The staged workflow on tiny models, its result lossless; saved: inputs of Save Video."""
    workflow = json.loads(WORKFLOW.read_text())
    own = {**TINY, "LoadVideo": {"file": clip}, "LoadAudio": {"audio": voice}, "SaveVideo": saved}
    for entry in workflow.values():
        entry["inputs"].update(own.get(entry["class_type"], {}))
    return workflow


def test_save_video_keeps_it_lossless_and_chooses_the_container(client, object_info, short_clip, short_voice):
    choices = object_info["SaveVideo"]["input"]["required"]["format"][1]["options"]
    formats = [choice["key"] if isinstance(choice, dict) else choice for choice in choices]
    ways = [({"format": "auto"}, ".mp4")]
    if "mkv" in formats:
        ways.append(({"format": "mkv", "format.codec": "auto"}, ".mkv"))
    for saved, suffix in ways:
        run = client.run(lossless(short_clip, short_voice, saved))
        assert run.error is None, run.error["exception_message"]
        (video,) = [file for file in run.files if file.suffix in (".mp4", ".mkv")]
        assert video.suffix == suffix
        with av.open(str(video)) as container:
            assert container.streams.video[0].codec.name == "ffv1"
            assert container.streams.audio[0].codec.name.startswith("pcm")
