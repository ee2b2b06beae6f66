"""Open a canvas workflow in ComfyUI's own page, report its faults, and take a screenshot.

    python tools/screenshot_workflow.py workflows/lipsync.json --out lipsync.jpg --server http://127.0.0.1:8188
    python tools/screenshot_workflow.py workflows/try_without_download.json --run --app --out docs/canvas_app.jpg

A development tool: it needs aiohttp and Chromium (on PATH, or where CHROMIUM says). Over the DevTools protocol it loads
the file as a user's drop would and inspects the page: unknown nodes, dialogs, nodes that overlap, and the API form that
a click on Run would queue.
"""

import argparse
import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --mute-audio"
).split()
START_SECONDS = 180  # on a machine that has other work
SETTLE_SECONDS = 1.5  # dialogs and media previews come a little after the nodes
FRAME = 600  # pixels that the page's own bars may take off the window, more than enough
MARGIN = 24  # pixels around the workflow in its picture
TITLE = 30  # pixels, the height of a node's title; a node's position is below it

READY = "Boolean(window.app?.graph && app.canvas && app.ui && window.LiteGraph?.registered_node_types?.KSampler)"
RUN_SECONDS = 1200  # a workflow that takes longer hangs
APP_WINDOW = {"width": 1280, "height": 800}  # pixels
LOAD = "app.loadGraphData(%s, true, false, null, {showMissingModelsDialog: false})"
BOXES = f"""[
  ...app.graph.nodes.map(n => ({{
    id: String(n.id),
    name: (n.title ?? n.type) + ' (' + n.id + ')',
    at: [n.pos[0], n.pos[1] - {TITLE}],
    size: [n.flags.collapsed ? n._collapsed_width : n.size[0], (n.flags.collapsed ? 0 : n.size[1]) + {TITLE}],
  }})),
  ...app.graph.groups.map(g => ({{name: 'group', at: [...g.pos], size: [...g.size]}})),
]"""
INSPECT = f"""(async () => ({{
  unknown: app.graph.nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).map(n => n.type),
  marked: app.graph.nodes.filter(n => n.has_errors).map(n => n.title ?? n.type),
  dialogs: [...document.querySelectorAll('.p-dialog, [role=dialog], .p-toast-message-error')].map(e => e.innerText),
  boxes: {BOXES},
  canvas: app.graph.serialize(),
  api: (await app.graphToPrompt()).output,
}}))()"""
IDLE = """(async () => {
  const queue = await (await fetch('/api/queue')).json();
  return queue.queue_running.length + queue.queue_pending.length === 0;
})()"""
CLOSE_WELCOME = """(() => {
  const buttons = [...document.querySelectorAll('[role=dialog] button')];
  buttons.find(button => button.innerText.trim() === 'Skip')?.click();
})()"""
ONLY_THE_GRAPH = """document.head.appendChild(document.createElement('style')).textContent = `
  body * { visibility: hidden !important }
  #graph-canvas, .dom-widget, .dom-widget *, .lg-node, .lg-node * { visibility: visible !important }`"""
PLACE = """(() => {
  app.canvas.ds.scale = %f;
  [app.canvas.ds.offset[0], app.canvas.ds.offset[1]] = [%f, %f];
  app.canvas.deselectAll();
  app.canvas.setDirty(true, true);
  const place = app.canvas.canvas.getBoundingClientRect();
  return [place.x, place.y];
})()"""


class PageError(Exception):
    """The browser or the page failed."""


@dataclass(frozen=True)
class Inspection:
    """The state of a workflow in ComfyUI's page."""

    faults: list[str]  # one sentence each, empty for a sound workflow
    canvas: dict[str, Any]  # as the page would save it
    api: dict[str, dict[str, Any]]  # as the page would queue it


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.socket = socket
        self.ids = itertools.count(1)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        number = next(self.ids)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        async for message in self.socket:
            reply = json.loads(message.data)
            if reply.get("id") == number:
                if "error" in reply:
                    raise PageError(f"{method}: {reply['error']['message']}")
                return reply["result"]
        raise PageError(f"the browser closed during {method}")

    async def run(self, script: str) -> Any:
        """Evaluate JavaScript, wait for its promise, and return its value."""
        reply = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise PageError(reply["exceptionDetails"].get("exception", {}).get("description", "a script failed"))
        return reply["result"].get("value")

    async def wait_until_ready(self) -> None:
        """Return when the nodes are registered and the graph can be filled."""
        while not await self.run(READY):
            await asyncio.sleep(0.2)

    async def load(self, workflow: dict[str, Any]) -> Inspection:
        """Show a canvas workflow and have the page look at it."""
        await self.run(LOAD % json.dumps(workflow))
        await asyncio.sleep(SETTLE_SECONDS)
        seen = await self.run(INSPECT)
        faults = [f"{name} is not a known node" for name in seen["unknown"]]
        faults += [f"{name} is marked as faulty" for name in seen["marked"]]
        faults += [f"a dialog is open: {' '.join(text.split())[:200]}" for text in seen["dialogs"] if text.strip()]
        nodes = [box for box in seen["boxes"] if box["name"] != "group"]
        faults += [f"{a['name']} overlaps {b['name']}" for a, b in itertools.combinations(nodes, 2) if overlap(a, b)]
        return Inspection(faults, seen["canvas"], seen["api"])

    async def run_to_its_end(self) -> None:
        """Queue what the page shows, and wait until it is done."""
        await self.run("app.queuePrompt(0)")
        for _ in range(RUN_SECONDS):
            await asyncio.sleep(1)
            if await self.run(IDLE):
                return
        raise PageError(f"the workflow did not end within {RUN_SECONDS} s")

    async def app_picture(self, path: Path) -> None:
        """Write the window with the app view, which newer hosts show in place of the graph."""
        await self.send("Emulation.setDeviceMetricsOverride", **APP_WINDOW, deviceScaleFactor=1, mobile=False)
        await asyncio.sleep(SETTLE_SECONDS)
        await self.run(CLOSE_WELCOME)
        await asyncio.sleep(SETTLE_SECONDS)
        shot = await self.send("Page.captureScreenshot", **picture_kind(path))
        path.write_bytes(base64.b64decode(shot["data"]))

    async def picture(self, path: Path, width: int, nodes: Collection[str] | None = None) -> None:
        """Write the loaded graph, and nothing of the page around it, as a JPEG or PNG at most `width` pixels wide.

        nodes: ids of those that the picture is to show; all, and the groups, by default.
        """
        boxes = [box for box in await self.run(BOXES) if nodes is None or box.get("id") in nodes]
        left, top = (min(box["at"][axis] for box in boxes) - MARGIN for axis in (0, 1))
        right, bottom = (max(box["at"][axis] + box["size"][axis] for box in boxes) + MARGIN for axis in (0, 1))
        scale = min(1.0, width / (right - left))
        size = round((right - left) * scale), round((bottom - top) * scale)
        window = {"width": size[0] + FRAME, "height": size[1] + FRAME}
        await self.send("Emulation.setDeviceMetricsOverride", **window, deviceScaleFactor=1, mobile=False)
        await self.run(ONLY_THE_GRAPH)
        await asyncio.sleep(SETTLE_SECONDS)
        x, y = await self.run(PLACE % (scale, -left, -top))
        await asyncio.sleep(SETTLE_SECONDS)
        clip = {"x": x, "y": y, "width": size[0], "height": size[1], "scale": 1}
        shot = await self.send("Page.captureScreenshot", **picture_kind(path), clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))


def picture_kind(path: Path) -> dict[str, Any]:
    """How the page is to encode a picture: by the file's name."""
    return {"format": "png"} if path.suffix.lower() == ".png" else {"format": "jpeg", "quality": 85}


def overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two boxes (at, size) share more than an edge."""
    return all(
        a["at"][axis] < b["at"][axis] + b["size"][axis] and b["at"][axis] < a["at"][axis] + a["size"][axis]
        for axis in (0, 1)
    )


def find_chromium() -> str:
    """The browser's program."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise PageError("no chromium is on PATH; install it, or name the program in CHROMIUM")
    return found


@asynccontextmanager
async def open_comfyui(address: str, chromium: str) -> AsyncIterator[Page]:
    """ComfyUI's page in a browser of its own, past the welcome."""
    async with aiohttp.ClientSession() as session:
        # A new user is shown the templates first; they would cover the graph.
        async with session.post(f"{address}/settings/Comfy.TutorialCompleted", json=True) as reply:
            reply.raise_for_status()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            options = (f"--user-data-dir={profile}", "--remote-debugging-port=0", "--window-size=1600,1000")
            browser = subprocess.Popen((chromium, *FLAGS, *options, address), stderr=subprocess.DEVNULL)
            try:
                port_file = Path(profile, "DevToolsActivePort")
                target = await asyncio.wait_for(find_page(session, port_file, address), START_SECONDS)
                async with session.ws_connect(target, max_msg_size=0) as socket:
                    page = Page(socket)
                    await asyncio.wait_for(page.wait_until_ready(), START_SECONDS)
                    yield page
            finally:
                browser.terminate()
                browser.wait()


async def find_page(session: aiohttp.ClientSession, port_file: Path, address: str) -> str:
    """Wait for the browser; returns the DevTools address of the page that shows `address`."""
    while True:
        if port_file.exists() and (port := port_file.read_text().partition("\n")[0]):
            async with session.get(f"http://127.0.0.1:{port}/json") as reply:
                for page in await reply.json():
                    if page["type"] == "page" and page["url"].startswith(address):
                        return page["webSocketDebuggerUrl"]
        await asyncio.sleep(0.1)


async def main_async(arguments: argparse.Namespace) -> int:
    workflow = json.loads(arguments.workflow.read_text(encoding="utf-8"))
    workflow["extra"]["linearMode"] = arguments.app
    out = arguments.out or arguments.workflow.with_suffix(".jpg")
    async with open_comfyui(arguments.server.rstrip("/"), find_chromium()) as page:
        inspection = await page.load(workflow)
        if arguments.run:
            await page.run_to_its_end()
        await (page.app_picture(out) if arguments.app else page.picture(out, arguments.width))
    for fault in inspection.faults:
        print(fault, file=sys.stderr)
    return 2 if inspection.faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("workflow", type=Path, help="canvas workflow (.json)")
    parser.add_argument("--out", type=Path, help="the picture, .jpg or .png (beside the workflow)")
    parser.add_argument("--width", type=int, default=1600, help="at most so many pixels wide (%(default)s)")
    parser.add_argument("--run", action="store_true", help="run it first, so that the nodes show results")
    parser.add_argument("--app", action="store_true", help="the app view of newer ComfyUI in place of the graph")
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (%(default)s)")
    return asyncio.run(main_async(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
