"""Every bundled workflow is what its description gives, and ComfyUI's page takes it as a user's drop."""

import asyncio
import json
from pathlib import Path

import pytest

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.models.catalog import MUSETALK_1_5, UNET_1_6, VAE_FT_MSE, WHISPER_TINY

CHECKOUT = Path(__file__).parents[2]
CANVASES = sorted((CHECKOUT / "workflows").glob("*.json"))
SUBGRAPHS = sorted((CHECKOUT / "subgraphs").glob("*.json"))


def test_workflows_are_what_their_descriptions_give(host, client):
    from build_workflows import build

    built_with = {node["properties"].get("ver") for p in CANVASES for node in json.loads(p.read_text())["nodes"]}
    version = client.get("/system_stats")["system"]["comfyui_version"]
    if version not in built_with:
        pytest.skip(f"the workflows were not built with ComfyUI {version}")
    files = build(host.address)
    assert {path for path in files if path.parent.name != "api"} == {*CANVASES, *SUBGRAPHS}
    assert [path.name for path, text in files.items() if path.read_text() != text] == []


@pytest.fixture(scope="module")
def named_files(host, client):
    """The files that the workflows name: without them the page rightly marks their loaders as faulty."""
    client.upload(CLIP)
    client.upload(VOICE)
    places = (UNET_1_6.target, MUSETALK_1_5.target, WHISPER_TINY.target, VAE_FT_MSE.target)
    files = [host.base / "models" / place for place in places]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    yield
    for file in files:
        file.unlink()


APP_VIEW = """(() => {
  const stores = document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s;
  const view = stores.get('appMode');
  return view?.selectedInputs && [view.selectedInputs.map(([, name]) => name), view.selectedOutputs.map(Number)];
})()"""
WITH_APP_VIEW = [path for path in CANVASES if "linearData" in json.loads(path.read_text())["extra"]]


@pytest.mark.parametrize("path", WITH_APP_VIEW, ids=[path.stem for path in WITH_APP_VIEW])
def test_the_app_view_shows_what_the_workflow_says(host, chromium, path):
    from screenshot_workflow import open_comfyui

    workflow = json.loads(path.read_text())

    async def load():
        async with open_comfyui(host.address, chromium) as page:
            await page.load(workflow)
            return await page.run(APP_VIEW)

    shown = asyncio.run(load())
    if shown is None:
        pytest.skip("this ComfyUI has no app view")
    wanted = workflow["extra"]["linearData"]
    assert shown == [[name for _, name in wanted["inputs"]], wanted["outputs"]]


@pytest.mark.usefixtures("named_files")
@pytest.mark.parametrize("path", CANVASES, ids=[path.stem for path in CANVASES])
def test_the_page_takes_it_and_would_queue_its_api_form(host, chromium, path):
    from screenshot_workflow import open_comfyui

    async def load():
        async with open_comfyui(host.address, chromium) as page:
            return await page.load(json.loads(path.read_text()))

    seen = asyncio.run(load())
    assert seen.faults == []
    expected = json.loads((path.parent / "api" / path.name).read_text())
    assert seen.api.keys() == expected.keys()
    for number, entry in expected.items():
        assert {name: seen.api[number]["inputs"].get(name) for name in entry["inputs"]} == entry["inputs"]
