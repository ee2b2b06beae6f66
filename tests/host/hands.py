"""A user's hands on ComfyUI's page: the mouse, the keyboard, and files dropped from a desktop."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from screenshot_workflow import Page, open_comfyui

WINDOW = {"width": 1920, "height": 1080}
MODES = {"canvas": False, "Vue nodes": True}  # what draws the nodes -> the setting of the page
NEW_NODES = "Comfy.VueNodes.Enabled"
SETTLE_SECONDS = 0.7
WAIT_SECONDS = 90  # for a short run on a slow machine


@asynccontextmanager
async def open_page(address: str, chromium: str, mode: str) -> AsyncIterator[Page]:
    """The page at 1920 x 1080 with an empty graph, its nodes drawn by a mode of MODES."""
    async with open_comfyui(address, chromium) as page:
        await page.send("Emulation.setDeviceMetricsOverride", **WINDOW, deviceScaleFactor=1, mobile=False)
        await page.run(f"app.ui.settings.setSettingValueAsync({NEW_NODES!r}, {json.dumps(MODES[mode])})")
        await page.run("app.loadGraphData({nodes: [], links: [], version: 0.4}, true, false, null, {})")
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            yield page
        finally:
            await page.run(f"app.ui.settings.setSettingValueAsync({NEW_NODES!r}, false)")


async def wait_for(page: Page, condition: str) -> None:
    """Return when a JavaScript expression holds; TimeoutError with it when it does not for long."""
    for _ in range(round(WAIT_SECONDS / 0.2)):
        if await page.run(f"Boolean({condition})"):
            return
        await asyncio.sleep(0.2)
    raise TimeoutError(f"the page never came to: {condition}")


async def middle_of(page: Page, element: str, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
    """Where on the screen a part of an element is, by its JavaScript expression; by default its middle.

    Once it has come to rest: the page lays nodes out over a few frames.
    """
    box, before = await place_of(page, element), None
    while box != before or not box[2] * box[3]:
        await asyncio.sleep(SETTLE_SECONDS / 2)
        box, before = await place_of(page, element), box
    return box[0] + across * box[2], box[1] + down * box[3]


async def place_of(page: Page, element: str) -> list[float]:
    """Left, top, width and height of an element on the screen."""
    return await page.run(f"(b => [b.x, b.y, b.width, b.height])(({element}).getBoundingClientRect())")


async def click(page: Page, at: tuple[float, float]) -> None:
    """A click with the left button."""
    await drag(page, at, at)


async def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """The left button pressed at one place and let go at another."""
    await mouse(page, "mouseMoved", start)
    await mouse(page, "mousePressed", start, button="left", clickCount=1)
    if end != start:
        await mouse(page, "mouseMoved", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), button="left", buttons=1)
        await mouse(page, "mouseMoved", end, button="left", buttons=1)
    await mouse(page, "mouseReleased", end, button="left", clickCount=1)


async def mouse(page: Page, kind: str, at: tuple[float, float], **how: Any) -> None:
    """One event of the mouse."""
    await page.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], **how)


async def press(page: Page, *keys: str) -> None:
    """Keys by their names, "ArrowRight" or "2"."""
    for key in keys:
        text = {"text": key} if len(key) == 1 else {}
        code = f"Digit{key}" if key.isdigit() else key
        await page.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=code, **text)
        await page.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=code)


async def drop(page: Page, at: tuple[float, float], *files: Any) -> None:
    """Files dropped from the desktop."""
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "dragOver", "drop"):
        await page.send("Input.dispatchDragEvent", type=kind, x=at[0], y=at[1], data=data)
        await asyncio.sleep(0.1)
