"""The host under test is a real one, and this pack is at home in it."""

import pytest
from host_server import FAST_VAE, MUSETALK, UNET, WHISPER


@pytest.fixture(scope="session")
def clip(client) -> str:
    """The demo's clip in the server's input folder."""
    from latentsync_core.demo import CLIP

    return client.upload(CLIP)


def test_the_pack_loads_without_a_word_of_complaint(host):
    start = host.log.partition("To see the GUI")[0]
    assert "Starting server" in start
    assert "IMPORT FAILED" not in start and "Traceback" not in start


def test_tiny_models_are_where_their_loaders_look(client, object_info, host):
    assert {path.name for path in (host.base / "models/latentsync").iterdir()} == {UNET, WHISPER, MUSETALK}
    assert FAST_VAE in object_info["VAELoader"]["input"]["required"]["vae_name"][0]


def encode_decode(clip: str, vae: str) -> dict:
    """One frame of the clip, shrunk, through a VAE and back."""
    return {
        "1": {"class_type": "LoadVideo", "inputs": {"file": clip}},
        "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
        "3": {"class_type": "ImageFromBatch", "inputs": {"image": ["2", 0], "batch_index": 3, "length": 1}},
        "4": {
            "class_type": "ImageScale",
            "inputs": {"image": ["3", 0], "upscale_method": "area", "width": 64, "height": 64, "crop": "disabled"},
        },
        "5": {"class_type": "VAELoader", "inputs": {"vae_name": vae}},
        "6": {"class_type": "VAEEncode", "inputs": {"pixels": ["4", 0], "vae": ["5", 0]}},
        "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["5", 0]}},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "vae"}},
    }


@pytest.mark.parametrize("size", ["fast", "full"])
def test_stock_vae_nodes_run_on_the_seeded_vaes(client, clip, size, request):
    from PIL import Image

    vae = FAST_VAE if size == "fast" else request.getfixturevalue("full_vae")
    run = client.run(encode_decode(clip, vae))
    assert run.error is None and run.executed[-1] == "8"
    with Image.open(run.files[0]) as picture:
        assert picture.size == (64, 64) and len(set(picture.convert("L").tobytes())) > 10


def test_an_unchanged_workflow_comes_from_the_cache(client, clip):
    workflow = encode_decode(clip, FAST_VAE)
    client.run(workflow)
    again = client.run(workflow)
    assert set(again.cached) == set(workflow) and again.executed == []


def test_a_refusal_names_the_node_and_the_input(client, clip):
    workflow = encode_decode(clip, FAST_VAE)
    workflow["5"]["inputs"]["vae_name"] = "absent.safetensors"
    assert "VAELoader (node 5): Value not in list (vae_name: 'absent.safetensors'" in client.refusal(workflow)


def test_cancel_stops_between_nodes(client, clip):
    workflow = encode_decode(clip, FAST_VAE)
    workflow["3"]["inputs"]["length"] = 50  # long enough in node 6 for the click to arrive
    workflow["4"]["inputs"].update(width=192, height=192)
    run = client.run(workflow, interrupt_when=lambda event, data: event == "executing" and data["node"] == "6")
    assert run.interrupted and "8" not in run.executed and run.files == []
