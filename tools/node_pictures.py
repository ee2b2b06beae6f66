"""Draw the nodes of the help pages as ComfyUI's canvas shows them, fresh from the node list.

    python tools/node_pictures.py LatentSyncFaceBlend LatentSyncSample --server http://127.0.0.1:8188

A development tool; it needs what screenshot_workflow.py needs. Without names it draws every node that has a help page.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from screenshot_workflow import find_chromium, open_comfyui

DOCS = Path(__file__).parents[1] / "web" / "docs"
NODE_WIDTH, PICTURE_WIDTH = 380, 800  # pixels
MAKE = """(async () => {
  app.graph.clear();
  const node = LiteGraph.createNode('%s');
  app.graph.add(node);
  node.pos = [0, 0];
  await new Promise(resolve => setTimeout(resolve, 800));  // widgets settle
  node.setSize([%d, node.computeSize()[1]]);
  app.canvas.setDirty(true, true);
})()"""


async def draw(names: list[str], server: str) -> None:
    """Write web/docs/NAME.jpg for every name."""
    async with open_comfyui(server, find_chromium()) as page:
        for name in names:
            await page.run(MAKE % (name, NODE_WIDTH))
            await page.picture(DOCS / f"{name}.jpg", PICTURE_WIDTH)
            print(f"{name}.jpg written")


def main() -> int:
    """Draw the nodes that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("nodes", nargs="*", help="node ids; all with a help page if none is named")
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (%(default)s)")
    arguments = parser.parse_args()
    names = arguments.nodes or sorted(path.stem for path in DOCS.glob("*.md"))
    asyncio.run(draw(names, arguments.server.rstrip("/")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
