"""The page's own verdict on a workflow, and its picture."""

import asyncio

import pytest


def node(number: int, kind: str, x: int) -> dict:
    """A node of the canvas, 200 pixels wide."""
    place = {"pos": [x, 0], "size": [200, 80], "flags": {}, "order": number, "mode": 0}
    return {"id": number, "type": kind, **place, "inputs": [], "outputs": [], "properties": {}, "widgets_values": []}


@pytest.fixture
def look(host, chromium):
    """Show nodes on the page: the inspection; with `picture`, their picture is written there."""
    from screenshot_workflow import open_comfyui

    def show(*nodes, picture=None):
        empty = {"links": [], "groups": [], "config": {}, "extra": {}, "version": 0.4, "last_link_id": 0}
        workflow = {**empty, "nodes": list(nodes), "last_node_id": len(nodes)}

        async def visit():
            async with open_comfyui(host.address, chromium) as page:
                inspection = await page.load(workflow)
                if picture is not None:
                    await page.picture(picture, width=400)
                return inspection

        return asyncio.run(visit())

    return show


def test_unknown_and_overlapping_nodes_are_faults(look):
    seen = look(node(1, "EmptyLatentImage", 0), node(2, "NoSuchNode", 250), node(3, "VAELoader", 180))
    faults = "\n".join(seen.faults)
    assert "NoSuchNode is not a known node" in faults
    assert "Empty Latent Image (1) overlaps Load VAE (3)" in faults


def test_the_picture_shows_the_nodes_and_nothing_else(look, tmp_path):
    from PIL import Image

    path = tmp_path / "graph.png"
    seen = look(node(1, "EmptyLatentImage", 0), node(2, "VAELoader", 500), picture=path)
    assert seen.faults == [] and set(seen.api) == {"1", "2"}
    with Image.open(path) as picture:
        assert picture.width == 400
        grey = picture.convert("L")
        background, left = grey.getpixel((200, 5)), grey.crop((20, 20, 120, 60))
    assert background < 40 and left.getextrema()[1] > 150  # a dark canvas, light letters on a node
