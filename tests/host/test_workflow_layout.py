"""No bundled workflow's nodes lie over one another or behind the minimap at 1920 x 1080, drawn either way."""

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from hands import MODES, open_page
from screenshot_workflow import overlap

CANVASES = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))
LOAD = "app.loadGraphData(%s, true, true, null, {showMissingModelsDialog: false})"
SETTLE_SECONDS, TRIES = 1.5, 20
# What the screen shows: a node's element, or on the canvas its box there.
BOXES = """(() => {
  const place = app.canvas.canvas.getBoundingClientRect(), {scale, offset} = app.canvas.ds;
  const box = rect => ({at: [rect.x, rect.y], size: [rect.width, rect.height]});
  return {
    minimap: [...document.querySelectorAll('.litegraph-minimap')].map(e => box(e.getBoundingClientRect())),
    nodes: app.graph.nodes.map(node => {
      const name = `${node.title} (${node.id})`, element = document.querySelector(`[data-node-id="${node.id}"]`);
      if (LiteGraph.vueNodesMode) return {name, ...box(element.getBoundingClientRect())};
      const [x, y, width, height] = node.boundingRect;
      return {name, at: [(x + offset[0]) * scale + place.x, (y + offset[1]) * scale + place.y],
              size: [width * scale, height * scale]};
    }),
  };
})()"""


@pytest.fixture(scope="module", params=list(MODES))
def screens(request, host, chromium) -> dict[str, dict]:
    """What is where on the screen when a workflow has been opened, by its name."""

    async def visit():
        screens = {}
        async with open_page(host.address, chromium, request.param) as page:
            for path in CANVASES:
                await page.run(LOAD % path.read_text(encoding="utf-8"))
                before, seen = None, await page.run(BOXES)
                for _ in range(TRIES):  # until the page has laid it out
                    await asyncio.sleep(SETTLE_SECONDS)
                    before, seen = seen, await page.run(BOXES)
                    if before == seen:
                        break
                screens[path.stem] = seen
        return screens

    return asyncio.run(visit())


@pytest.mark.parametrize("name", [path.stem for path in CANVASES])
def test_nodes_lie_beside_one_another(screens, name):
    nodes = screens[name]["nodes"]
    assert len(nodes) == len(json.loads(next(p for p in CANVASES if p.stem == name).read_text())["nodes"])
    assert [f"{a['name']} lies over {b['name']}" for a, b in itertools.combinations(nodes, 2) if overlap(a, b)] == []


@pytest.mark.parametrize("name", [path.stem for path in CANVASES])
def test_no_node_lies_behind_the_minimap(screens, name):
    (minimap,) = screens[name]["minimap"]
    assert minimap["size"][0] > 100, "the minimap is not shown"
    assert [node["name"] for node in screens[name]["nodes"] if overlap(node, minimap)] == []
