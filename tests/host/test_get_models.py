"""The button Get models in a real host: its route against a Hub on the loopback, and the page in a browser."""

import asyncio
import hashlib
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from latentsync_core.models.catalog import VAE_FT_MSE
from latentsync_core.models.download import CHUNK_BYTES

pytestmark = pytest.mark.long

ROUTE = "/latentsync/models"
UNET, WHISPER, VAE = "latentsync_unet_1.6.pt", "whisper_tiny.pt", "sd-vae-ft-mse.safetensors"
WAIT_SECONDS = 60
WORKFLOWS = Path(__file__).parents[2] / "workflows"


@pytest.fixture(scope="module")
def hub():
    """The Hub that the host under test asks."""
    from loopback_hub import running_hub

    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def online(comfyui, comfyui_python, tmp_path_factory, hub):
    """A host without models that may fetch some; `contents` are the bytes of each."""
    import shutil

    from host_server import make_base, start_server
    from small_catalogue import publish_small_files

    base = make_base(tmp_path_factory.mktemp("online") / "base")
    for folder in (base / "models").iterdir():
        shutil.rmtree(folder)
    contents = publish_small_files(hub, base)
    local = {"HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    with start_server(comfyui, comfyui_python, base, offline=False, environment=local) as server:
        yield Online(server, contents)


class Online:
    """The host, asked as the page does."""

    def __init__(self, server, contents: dict[str, bytes]):
        self.address, self.models, self.contents = server.address, server.base / "models", contents

    def ask(self, path: str, body=None, **headers) -> tuple[int, dict]:
        """GET, or POST a body: HTTP status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers} if data else headers
        request = urllib.request.Request(f"{self.address}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return error.code, json.loads(text) if text.startswith("{") else {"text": text}

    def start(self, loader: str, *names: str, fp16: bool = False) -> tuple[int, dict]:
        """Press Download."""
        return self.ask(f"{ROUTE}/download", {"loader": loader, "names": names, "fp16": fp16})

    def wait(self, until=lambda status: status["state"] != "running") -> dict:
        """Watch the download until something is so."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            status = self.ask(f"{ROUTE}/status")[1]
            if until(status):
                return status
            time.sleep(0.05)
        raise AssertionError(f"nothing came of it: {status}")

    def files(self) -> list[str]:
        """What lies in its models folder."""
        return sorted(path.relative_to(self.models).as_posix() for path in self.models.rglob("*") if path.is_file())

    def offered(self, loader: str, name: str) -> list[str]:
        """The choices of a loader node."""
        entry = self.ask(f"/object_info/{loader}")[1][loader]["input"]["required"][name]
        return entry[0] if isinstance(entry[0], list) else entry[1]["options"]


@pytest.fixture(autouse=True)
def clean(request):
    """Nothing is there, and the Hub behaves."""
    if "online" not in request.fixturenames:
        return
    online, hub = request.getfixturevalue("online"), request.getfixturevalue("hub")
    for file in online.files():
        (online.models / file).unlink()
    hub.cuts, hub.requests, hub.seconds_per_chunk = [], [], 0.0


def test_it_says_what_there_is_before_anything_is_fetched(online, hub):
    status, listed = online.ask(f"{ROUTE}?loader=LatentSyncLoadModel")
    assert status == 200 and listed["offline"] is None and hub.requests == []
    files = {file["name"]: file for file in listed["files"]}
    assert list(files) == [UNET, "latentsync_unet_1.5.pt", WHISPER, VAE]
    assert [file["name"] for file in listed["files"] if file["own"]] == list(files)[:2]
    assert files[UNET]["size"] == len(online.contents[UNET]) and files[UNET]["licence"].startswith("CreativeML")
    assert files[VAE]["source"] == "stabilityai/sd-vae-ft-mse" and files[VAE]["folder"] == str(online.models / "vae")
    assert {file["present"] for file in listed["files"]} == {None}


def test_a_broken_connection_is_taken_up_and_the_loader_lists_the_file(online, hub):
    hub.cuts = [2 * CHUNK_BYTES]
    assert online.start("LatentSyncLoadWhisper", WHISPER)[0] == 202
    done = online.wait()
    assert done["state"] == "done" and done["fetched"] == {WHISPER: WHISPER}, done["error"]
    assert hub.ranges() == [None, f"bytes={2 * CHUNK_BYTES}-"]
    assert (online.models / "latentsync" / WHISPER).read_bytes() == online.contents[WHISPER]
    assert WHISPER in online.offered("LatentSyncLoadWhisper", "whisper")
    (listed,) = online.ask(f"{ROUTE}?loader=LatentSyncLoadWhisper")[1]["files"]
    assert listed["present"] == WHISPER
    hub.requests.clear()
    online.start("LatentSyncLoadWhisper", WHISPER)
    assert online.wait()["state"] == "done" and hub.requests == [], "what is there is not asked for"


def test_wrong_bytes_are_refused_in_a_sentence_and_not_kept(online, hub):
    right = online.contents[VAE]
    hub.publish(VAE_FT_MSE, right[:-1] + b"x")
    hub.announced_hash = hashlib.sha256(right).hexdigest()
    try:
        online.start("LatentSyncLoadVAE", VAE)
        failed = online.wait()
    finally:
        hub.publish(VAE_FT_MSE, right)
        hub.announced_hash = None
    assert failed["state"] == "failed" and "SHA-256" in failed["error"] and "it was removed" in failed["error"]
    assert online.files() == []


def test_cancel_keeps_what_came_for_the_next_time_and_two_do_not_run_at_once(online, hub):
    hub.seconds_per_chunk = 0.05
    online.start("LatentSyncLoadVAE", VAE)
    online.wait(lambda status: status["done"] > 0)
    status, refused = online.start("LatentSyncLoadWhisper", WHISPER)
    assert status == 409 and VAE in refused["error"]
    online.ask(f"{ROUTE}/cancel", {})
    assert online.wait()["state"] == "cancelled"
    assert online.files() == [f"vae/{VAE}.part"]
    arrived = (online.models / "vae" / f"{VAE}.part").stat().st_size
    (listed,) = online.ask(f"{ROUTE}?loader=LatentSyncLoadVAE")[1]["files"]
    assert 0 < listed["arrived"] == arrived < listed["size"]
    hub.seconds_per_chunk = 0.0
    online.start("LatentSyncLoadVAE", VAE)
    assert online.wait()["state"] == "done" and hub.ranges()[-1] == f"bytes={arrived}-"
    assert (online.models / "vae" / VAE).read_bytes() == online.contents[VAE]


def test_a_unet_kept_as_fp16_is_listed_and_counts_as_present(online):
    online.start("LatentSyncLoadModel", UNET, fp16=True)
    done = online.wait()
    copy = UNET.replace(".pt", "_fp16.safetensors")
    assert done["state"] == "done" and done["fetched"] == {UNET: copy}, done["error"]
    assert online.files() == [f"latentsync/{copy}"]
    assert copy in online.offered("LatentSyncLoadModel", "checkpoint")
    assert online.ask(f"{ROUTE}?loader=LatentSyncLoadModel")[1]["files"][0]["present"] == copy


def test_only_names_of_the_catalogue_in_json_from_this_origin(online, hub):
    for loader, names in (
        ("LatentSyncLoadVAE", [UNET]),
        ("LatentSyncLoadVAE", ["../../evil.pt"]),
        ("LatentSyncLoadVAE", ["https://example.com/evil.safetensors"]),
        ("LatentSyncLoadVAE", []),
        ("NoSuchLoader", [VAE]),
    ):
        status, refused = online.start(loader, *names)
        assert status == 400 and refused["error"], names
    assert online.ask(f"{ROUTE}?loader=NoSuchLoader")[0] == 404
    for body in ([], {"loader": "LatentSyncLoadVAE", "names": VAE}):
        assert online.ask(f"{ROUTE}/download", body)[0] == 400
    plain = {"Content-Type": "text/plain"}
    order = {"loader": "LatentSyncLoadVAE", "names": [VAE]}
    assert online.ask(f"{ROUTE}/download", order, **plain)[0] == 415, "a form of another page could send this"
    assert online.ask(f"{ROUTE}/download", order, Origin="http://example.com")[0] == 403
    assert hub.requests == [] and online.files() == []


def test_a_host_started_offline_refuses_and_says_so(host):
    here = Online(host, {})
    listed = here.ask(f"{ROUTE}?loader=LatentSyncLoadVAE")[1]
    status, refused = here.start("LatentSyncLoadVAE", VAE)
    assert status == 403 and refused["error"] == listed["offline"]
    assert "--disable-api-nodes" in refused["error"] and "python -m latentsync_core download" in refused["error"]


NODE = """(() => {
  app.graph.clear();
  const node = LiteGraph.createNode('LatentSyncLoadModel');
  node.pos = [100, 120];
  app.graph.add(node);
  return true;
})()"""
BUTTON = "document.querySelector('.latentsync-get-models button')"
BAR = "document.querySelector('.latentsync-bar')"
VALUE = "app.graph.nodes[0].widgets[0].value"
DIALOG = "document.querySelector('.latentsync-dialog')"


async def until(page, script: str):
    """What a script of the page gives as soon as that is something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := await page.run(script):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"never true: {script}")


@pytest.mark.parametrize("vue_nodes", [False, True], ids=["canvas nodes", "Vue nodes"])
def test_a_click_fetches_what_is_missing_and_fills_it_in(online, hub, chromium, vue_nodes):
    from screenshot_workflow import open_comfyui

    async def click():
        async with open_comfyui(online.address, chromium) as page:
            await page.run(f"app.extensionManager.setting.set('Comfy.VueNodes.Enabled', {json.dumps(vue_nodes)})")
            await page.run(NODE)
            assert await until(page, f"{BUTTON}?.textContent") == "Get models"
            values = await page.run("app.graph.nodes[0].serialize().widgets_values")
            assert values == ["embedded (one portrait)", "shared", 0, "auto"], "as without the button"
            assert "get_models" not in (await page.run("app.graphToPrompt().then(p => p.output)"))["1"]["inputs"]
            await page.run(f"{BUTTON}.click()")
            said = await until(page, f"{DIALOG}?.innerText")
            assert hub.requests == [], "nothing is fetched before the dialog says so"
            hub.seconds_per_chunk = 0.01
            await page.run(f"{DIALOG}.querySelector('.latentsync-fetch').click()")
            shown = await until(page, f"/[1-9].* %/.test({BAR}.innerText) && {BAR}.innerText")
            chosen = await until(page, f"{VALUE} !== 'embedded (one portrait)' && {VALUE}")
            return said, shown, chosen, await until(page, f"{BUTTON}.offsetHeight > 0 && {BUTTON}.textContent")

    said, shown, chosen, at_the_end = asyncio.run(click())
    for words in (UNET, WHISPER, VAE, "CreativeML Open RAIL++-M", "stabilityai/sd-vae-ft-mse", "13 MB", "5.1 GB"):
        assert words in said
    assert UNET in shown and "Cancel" in shown
    assert chosen == UNET and at_the_end == "Get models"
    assert online.files() == [f"latentsync/{UNET}", f"latentsync/{WHISPER}", f"vae/{VAE}"]


def test_a_failure_is_said_in_the_node_and_the_button_is_back(online, hub, chromium):
    from screenshot_workflow import open_comfyui

    async def click():
        async with open_comfyui(online.address, chromium) as page:
            await page.run(NODE)
            await until(page, f"{BUTTON}?.textContent")
            hub.refusals = [404]  # at once, before the click itself is answered
            await page.run(f"{BUTTON}.click()")
            await until(page, f"{DIALOG}?.innerText")
            await page.run(f"{DIALOG}.querySelector('.latentsync-fetch').click()")
            message = "document.querySelector('.latentsync-message')"
            said = await until(page, f"{message}.offsetHeight > 0 && {message}.innerText")
            await asyncio.sleep(1)
            return said, await page.run(f"[{BUTTON}.offsetHeight > 0, {BAR}.offsetHeight, {message}.offsetHeight > 0]")

    said, look = asyncio.run(click())
    assert "has no latentsync_unet.pt" in said and look == [True, 0, True]


def test_offline_the_dialog_says_why_and_has_nothing_to_press(host, chromium):
    from screenshot_workflow import open_comfyui

    async def click():
        async with open_comfyui(host.address, chromium) as page:
            await page.run(NODE)
            await until(page, BUTTON + "?.textContent")
            await page.run(f"{BUTTON}.click()")
            said = await until(page, f"{DIALOG}?.innerText")
            return said, await page.run(f"{DIALOG}.querySelector('.latentsync-fetch').disabled")

    said, disabled = asyncio.run(click())
    assert "started with --disable-api-nodes" in said and disabled


MISSING = """(() => {
  [...document.querySelectorAll('button')].find((button) => /View details/.test(button.innerText))?.click();
  const panel = '[data-testid=error-group-missing-model], .comfy-missing-models';  // of newer hosts, of 0.8
  return document.querySelector(panel)?.innerText;
})()"""


@pytest.mark.parametrize(("name", "unet"), [("lipsync_simple", UNET), ("musetalk", "musetalk_1.5.pth")])
def test_the_host_itself_offers_all_three_files_of_a_workflow(online, chromium, name, unet):
    from screenshot_workflow import open_comfyui

    async def load():
        async with open_comfyui(online.address, chromium) as page:
            await page.run(f"app.loadGraphData({(WORKFLOWS / f'{name}.json').read_text()})")
            return await until(page, MISSING)

    shown = asyncio.run(load())
    assert all(file in shown for file in (unet, WHISPER, VAE)) and shown.count("Download") >= 3, shown


def test_a_run_without_the_file_names_the_button(client):
    workflow = json.loads((WORKFLOWS / "api" / "lipsync_simple.json").read_text())
    said = client.refusal(workflow)
    assert f"{UNET} is in none of the folders" in said and "press Get models on this node" in said
