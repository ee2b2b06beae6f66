"""How high a node is at most before it runs: on the canvas, or as elements of the page ("Vue nodes"), which are higher.

Measured in Chromium on both kinds, at a width of 300 pixels; tests/host/test_workflow_layout.py measures them again.
"""

from typing import Any

TITLE = 30  # pixels; the size of a node on the canvas is without
# Pixels of the page's elements: title and edges, the pack's name at the bottom, a row of sockets, a widget.
FRAME, PACK_NAME, ROW, WIDGET, TEXT, MULTILINE = 44, 24, 20, 28, 36, 68
ADDED_BY_PAGE = {  # node -> pixels of what web/js adds below its widgets
    "LatentSyncFaceTrack": 48,
    "LatentSyncLipSync": 48,
    "LatentSyncLoadModel": 34,
    "LatentSyncLoadMuseTalkModel": 34,
    "LatentSyncLoadWhisper": 34,
    "LatentSyncLoadVAE": 34,
}


def shown_height(node: Any) -> int:
    """Pixels of a workflow_nodes.Node with its title, whichever way it is drawn."""
    return max(node.size[1] + TITLE + ADDED_BY_PAGE.get(node.type, 0), element_height(node))


def element_height(node: Any) -> int:
    """Pixels of a node as elements of the page."""
    if not node.inputs and not node.info["output"]:  # a note is as high as it is made
        return 0
    widgets = [entry for entry in node.inputs if entry.is_widget]
    sockets = max(len(node.inputs) - len(widgets), len(node.info["output"]))
    core = node.properties.get("cnr_id") == "comfy-core"
    height = FRAME + ROW * sockets + sum(map(widget_height, widgets)) + (0 if core else PACK_NAME)
    return height + ADDED_BY_PAGE.get(node.type, 0)


def widget_height(entry: Any) -> int:
    """Pixels of one widget."""
    if entry.type != "STRING":
        return WIDGET
    return MULTILINE if entry.options.get("multiline") else TEXT
