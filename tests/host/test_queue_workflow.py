"""tools/queue_workflow.py as a user runs it, against a real server."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from host_server import FAST_VAE

from latentsync_core.demo import CLIP

TOOL = Path(__file__).parents[2] / "tools/queue_workflow.py"
COPY = {
    "1": {"class_type": "LoadVideo", "inputs": {"file": "mine.mp4"}, "_meta": {"title": "The video"}},
    "2": {
        "class_type": "SaveVideo",
        "inputs": {"video": ["1", 0], "filename_prefix": "video/queued", "format": "auto", "codec": "auto"},
    },
}


@pytest.fixture
def queue(host, tmp_path, capsys):
    """Run the command on a workflow: (exit code, stdout, stderr)."""
    from queue_workflow import main

    def run(workflow: dict, *arguments: str, server: str = host.address) -> tuple[int, str, str]:
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(workflow))
        code = main([str(path), "--server", server, "--out", str(tmp_path / "results"), *arguments])
        return code, *capsys.readouterr()

    return run


def test_uploads_runs_and_fetches(queue, tmp_path):
    options = ("--upload", f"LoadVideo.file={CLIP}", "--set", "2.filename_prefix=video/named")
    code, out, err = queue(COPY, *options)
    result = tmp_path / "results/video/named_00001_.mp4"
    assert (code, out) == (0, f"{result}\n")
    assert result.read_bytes()[4:8] == b"ftyp" and result.stat().st_size > 10_000
    assert err.splitlines()[-1] == "SaveVideo (node 2)"


def test_an_older_result_stays(queue, tmp_path):
    older = tmp_path / "results/video/kept_00001_.mp4"
    older.parent.mkdir(parents=True)
    older.write_bytes(b"mine")
    code, out, _ = queue(COPY, "--upload", f"1.file={CLIP}", "--set", "2.filename_prefix=video/kept")
    assert code == 0 and older.read_bytes() == b"mine"
    assert out.strip() == str(older.with_stem("kept_00001_-2"))


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, (), "The video (node 1): Custom validation failed for node (file - Invalid video file: mine.mp4)"),
        ({"2": {"class_type": "Nope", "inputs": {}}}, (), "Nope"),
        ({}, ("--set", "3.x=1"), "'3' names 0 nodes instead of one; the workflow has: 1 The video, 2 SaveVideo."),
        ({}, ("--set", "1.x=1"), "The video has no input 'x'; it has: file."),
        ({}, ("--set", "seed=1"), "'seed' names no input; write NODE.INPUT, for example KSampler.seed."),
        ({}, ("--upload", "1.file=absent.mp4"), "absent.mp4 is not there to be uploaded for 1.file."),
        ({"nodes": []}, (), "is laid out for the canvas; choose Workflow > Export (API) in ComfyUI"),
        ({"1": 3}, (), "is no ComfyUI workflow in API format"),
    ],
)
def test_what_a_user_gets_wrong_is_told_in_a_sentence(queue, change, arguments, message):
    code, out, err = queue({**COPY, **change}, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and message in err and "Traceback" not in err


def test_a_failure_names_the_node(queue, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    code, _, err = queue(COPY, "--upload", f"1.file={broken}")
    assert code == 2
    assert "error: SaveVideo (node 2) failed: " in err and "Invalid data found" in err


def test_ctrl_c_stops_the_server_too(host, client, short_clip, tmp_path):
    size = {"upscale_method": "area", "width": 512, "height": 512, "crop": "disabled"}
    workflow = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": short_clip}},
        "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
        "3": {"class_type": "ImageScale", "inputs": {"image": ["2", 0], **size}},
        "4": {"class_type": "VAELoader", "inputs": {"vae_name": FAST_VAE}},
        "5": {"class_type": "VAEEncode", "inputs": {"pixels": ["3", 0], "vae": ["4", 0]}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["4", 0]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "never"}},
    }
    path = tmp_path / "long.json"
    path.write_text(json.dumps(workflow))
    command = [sys.executable, str(TOOL), str(path), "--server", host.address, "--out", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while "node 5" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    while client.get("/queue")["queue_running"]:
        time.sleep(0.1)
    assert not list((host.base / "output").glob("never*"))


def test_a_workflow_without_results_is_told(queue, short_clip):
    workflow = {**COPY, "1": {"class_type": "LoadVideo", "inputs": {"file": short_clip}}}
    workflow["2"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}}
    workflow["3"] = {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}}
    code, _, err = queue(workflow)
    assert code == 2 and "ended without showing a file" in err


def test_no_server_is_told(queue):
    code, _, err = queue(COPY, server="http://127.0.0.1:1")
    assert code == 2
    assert err.startswith("error: No ComfyUI answers at http://127.0.0.1:1 (") and "name it with --server" in err


def test_the_place_of_before_is_found():
    from queue_workflow import read_workflow

    folder = TOOL.parents[1] / "workflows"
    assert read_workflow(folder / "lipsync_simple.api.json") == read_workflow(folder / "api" / "lipsync_simple.json")
