"""Workflows that people saved keep working: what the nodes look like from outside is recorded, and only ever grows."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from record_nodes import CHECKOUT, SCHEMA, breaks, describe, node_infos, read

IMPORT_SECONDS = 1.0


@pytest.fixture
def recorded() -> dict:
    return read(SCHEMA)


def test_the_nodes_are_as_recorded(pack, recorded):
    live = json.loads(json.dumps(describe(node_infos(pack))))
    assert breaks(recorded, live) == [], "workflows saved before this change would break"
    assert live == recorded, "run tools/record_nodes.py and commit what it writes"


def test_every_node_and_input_says_what_it_does(pack):
    for node_id, info in node_infos(pack).items():
        assert info["description"], node_id
        for group in ("required", "optional"):
            for name, (_, options) in info["input"].get(group, {}).items():
                assert options.get("tooltip"), f"{node_id}.{name}"


def swap_inputs(schema):
    inputs = schema["LatentSyncSampler"]["inputs"]
    schema["LatentSyncSampler"]["inputs"] = dict(reversed(inputs.items()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda schema: schema.pop("LatentSyncNoise"), "LatentSyncNoise is gone"),
        (swap_inputs, "LatentSyncSampler: the inputs were"),
        (lambda schema: schema["LatentSyncSampler"]["inputs"].pop("seed"), "LatentSyncSampler: the inputs were"),
        (lambda schema: schema["LatentSyncFaceTrack"]["outputs"].reverse(), "the outputs were"),
        (
            lambda schema: schema["LatentSyncSampler"]["inputs"].update(extra={"type": "INT", "optional": False}),
            "the new input extra must be optional",
        ),
        (lambda schema: schema["LatentSyncSigmas"]["inputs"]["steps"].update(type="FLOAT"), "the type was INT"),
        (lambda schema: schema["LatentSyncSigmas"]["inputs"]["steps"].update(max=50), "the greatest value was"),
        (lambda schema: schema["LatentSyncSampler"]["inputs"]["schedule"]["options"].remove("unipc"), "['unipc']"),
        (
            lambda schema: schema["LatentSyncFaceTrack"]["inputs"]["video"].update(optional=False),
            "it was optional and now is required",
        ),
        (
            lambda schema: schema["LatentSyncSampler"]["inputs"]["seed"].pop("control_after_generate"),
            "control_after_generate changed",
        ),
    ],
)
def test_a_change_that_breaks_saved_workflows_is_told(recorded, change, told):
    changed = deepcopy(recorded)
    change(changed)
    assert any(told in sentence for sentence in breaks(recorded, changed))


def test_growth_breaks_nothing(recorded):
    grown = deepcopy(recorded)
    sampler = grown["LatentSyncSampler"]
    sampler["inputs"]["extra"] = {"type": "INT", "optional": True}
    sampler["inputs"]["schedule"]["options"].append("heun")
    sampler["outputs"].append(["report", "STRING"])
    grown["LatentSyncNew"] = {"inputs": {}, "outputs": []}
    assert breaks(recorded, grown) == []


def test_listing_the_nodes_is_quick_and_loads_no_network(pack, comfyui, tmp_path):
    script = f"""
import sys, time
from pathlib import Path
from pack_in_process import load_pack, node_classes
sys.path.insert(0, {str(comfyui)!r})
from comfy.cli_args import args
args.cpu, args.base_directory = True, {str(tmp_path)!r}
import comfy.model_management, comfy.utils, comfy_execution.graph_utils, folder_paths
from comfy_api.latest import io
before, start = set(sys.modules), time.process_time()
classes = node_classes(load_pack(Path({str(comfyui)!r}), Path({str(tmp_path)!r})))
print(time.process_time() - start, len(classes))
print(*sorted(set(sys.modules) - before), sep="\\n")
import torch
whisper = classes["LatentSyncLoadWhisper"].execute("embedded (one portrait)").args[0]
voice = {{"waveform": torch.rand(1, 1, 8000) - 0.5, "sample_rate": 16000}}
classes["LatentSyncAudioFeatures"].execute(voice, whisper, "overlap", False)
print("with a voice:", *({{"whisper", "numba", "llvmlite", "triton", "tiktoken", "diffusers"}} & set(sys.modules)))
"""
    command = [sys.executable, "-c", script]
    tools = str(Path(CHECKOUT) / "tools")
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tools)
    timing, *modules, with_a_voice = done.stdout.splitlines()[-2000:]
    assert with_a_voice == "with a voice:", "openai-whisper gives its mel filters, and is not imported for them"
    seconds, count = timing.split()
    assert int(count) == len(read(SCHEMA))
    assert float(seconds) < IMPORT_SECONDS
    heavy = ("diffusers", "whisper", "numba", "scipy", "av", "latentsync.latentsync_core.pipeline.lipsync")
    assert [
        name for name in modules if name in heavy or name.startswith("latentsync.latentsync_core.models.unet")
    ] == []
