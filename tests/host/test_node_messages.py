"""What a node has to say to its user while it runs reaches the canvas, in the node that says it."""

import asyncio
import json
import struct
from pathlib import Path

from host_server import FAST_VAE, UNET, WHISPER

WORKFLOW = Path(__file__).parents[2] / "workflows" / "api" / "lipsync_simple.json"
TEXT = 3  # kind of a binary message, as ComfyUI's protocol.py numbers them


def texts_in_nodes(host, client, workflow: dict) -> list[tuple[str, str]]:
    """The node and the words of every text that the server sends while the workflow runs."""
    import aiohttp

    async def listen() -> list[tuple[str, str]]:
        found = []
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{host.address}/ws") as socket:
            running = asyncio.create_task(asyncio.to_thread(client.run, workflow))
            while not running.done():
                try:
                    message = await socket.receive(timeout=1)
                except asyncio.TimeoutError:
                    continue
                if message.type == aiohttp.WSMsgType.BINARY and struct.unpack(">I", message.data[:4])[0] == TEXT:
                    length = struct.unpack(">I", message.data[4:8])[0]
                    found.append((message.data[8 : 8 + length].decode(), message.data[8 + length :].decode()))
            assert (await running).error is None
        return found

    return asyncio.run(listen())


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
    ((where, text),) = texts_in_nodes(host, client, workflow)
    assert where == node
    assert text.startswith("64 px was asked for") and "trained at 128 px" in text
    assert text in host.log


def test_zero_is_the_models_own_and_nothing_is_said(host, client, short_clip, short_voice):
    workflow, _ = prepared(0, short_clip, short_voice)
    assert texts_in_nodes(host, client, workflow) == []
