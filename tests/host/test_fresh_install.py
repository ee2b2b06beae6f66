"""A ComfyUI that has this pack and nothing else: no models, no files in its input folder."""

import asyncio
import json
import shutil
import urllib.request
from pathlib import Path

import av
import pytest

pytestmark = pytest.mark.long

WORKFLOWS = Path(__file__).parents[2] / "workflows"
CLICK = "try_without_download"


@pytest.fixture(scope="module")
def fresh(comfyui, comfyui_python, tmp_path_factory):
    """It, running."""
    from host_client import HostClient
    from host_server import make_base, start_server

    base = make_base(tmp_path_factory.mktemp("fresh") / "base")
    for folder in (base / "models").iterdir():
        shutil.rmtree(folder)
    with start_server(comfyui, comfyui_python, base) as server:
        yield HostClient(server)


def test_one_click_gives_a_talking_portrait(fresh):
    workflow = json.loads((WORKFLOWS / "api" / f"{CLICK}.json").read_text())
    (synced,) = [node["inputs"] for node in workflow.values() if node["class_type"] == "LatentSyncLipSync"]
    synced["steps"] = 1  # of 20, which this test need not wait for
    run = fresh.run(workflow)
    assert run.error is None, run.error["exception_message"]
    (video,) = [file for file in run.files if file.suffix == ".mp4"]
    with av.open(str(video)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert frames / 25 == pytest.approx(5, abs=1) and len(container.streams.audio) == 1
    assert not [path for path in (fresh.host.base / "input").rglob("*") if path.is_file()]


def test_no_node_of_it_is_red(fresh, chromium):
    from screenshot_workflow import open_comfyui

    async def load():
        async with open_comfyui(fresh.host.address, chromium) as page:
            return await page.load(json.loads((WORKFLOWS / f"{CLICK}.json").read_text()))

    assert asyncio.run(load()).faults == []


def test_the_template_browser_lists_the_canvas_workflows_with_their_pictures(fresh):
    listed = fresh.get("/workflow_templates")["latentsync"]
    assert sorted(listed) == sorted(path.stem for path in WORKFLOWS.glob("*.json"))
    for name in listed:
        place = f"{fresh.host.address}/api/workflow_templates/latentsync/{name}"
        with urllib.request.urlopen(f"{place}.jpg", timeout=10) as picture:
            assert picture.read(2) == b"\xff\xd8", name
        with urllib.request.urlopen(f"{place}.json", timeout=10) as canvas:
            assert "nodes" in json.load(canvas), name
