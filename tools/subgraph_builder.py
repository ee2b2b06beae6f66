"""Build a subgraph that ComfyUI lists among its nodes, from the same kind of description as a workflow.

What comes in from outside and what goes out is declared beside the nodes:

    video, audio = w.inlet("video", "VIDEO"), w.inlet("audio", "AUDIO")
    faces = w.add("LatentSyncFaceTrack", video=video, face=w.knob("LatentSyncFaceTrack", "face"))
    w.outlet("video", faces["preview"])

An inlet is a socket of the subgraph's node, a knob one of its widgets, like the one of the node that it is taken from.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from workflow_builder import Workflow
from workflow_nodes import SLOT, TITLE, WIDGET, WIDTH, Node, Output, read_inputs

INSIDE, OUTSIDE = -10, -20  # ids that the canvas gives to where links come in and go out
BORDER_WIDTH, BORDER_GAP = 160, 100  # pixels


class Subgraph(Workflow):
    """A subgraph under construction; `blueprint` emits the file that the host lists."""

    def __init__(self, name: str, object_info: Mapping[str, Any], packs: Mapping[str, tuple[str, str]] | None = None):
        """name: by which it is listed. The other arguments are those of a Workflow."""
        super().__init__(name, object_info, packs)
        self.description = ""
        self.border = Node(INSIDE, "inlets", {"output": [], "output_name": []})
        self.defaults: dict[str, Any] = {}  # of the knobs
        self.outlets: list[tuple[str, Output]] = []

    def inlet(self, name: str, kind: str) -> Output:
        """A socket of the subgraph's node."""
        self.border.info["output"].append(kind)
        self.border.info["output_name"].append(name)
        return self.border[name]

    def knob(self, node_type: str, name: str) -> Output:
        """A widget of the subgraph's node: that of the same name which a node inside has."""
        (entry,) = [entry for entry in read_inputs(self.object_info[node_type]["input"], {}) if entry.name == name]
        self.defaults[name] = entry.default
        return self.inlet(name, entry.type)

    def outlet(self, name: str, output: Output) -> None:
        """A result of the subgraph's node."""
        self.outlets.append((name, output))

    def blueprint(self) -> dict[str, Any]:
        """The file: one node, and the definition of what is inside it."""
        identity = self._id("definition")
        return {
            "revision": 0,
            "last_node_id": 1,
            "last_link_id": 0,
            "nodes": [self._outer_node(identity)],
            "links": [],
            "version": 0.4,
            "definitions": {"subgraphs": [self._definition(identity)]},
            "extra": {"BlueprintDescription": self.description},
        }

    def _outer_node(self, identity: str) -> dict[str, Any]:
        names, kinds = self.border.info["output_name"], self.border.info["output"]
        sockets = [{"name": n, "type": k, "link": None} for n, k in zip(names, kinds, strict=True)]
        inputs = [s | ({"widget": {"name": s["name"]}} if s["name"] in self.defaults else {}) for s in sockets]
        rows = max(len(names) - len(self.defaults), len(self.outlets))
        return {
            "id": 1,
            "type": identity,
            "pos": [0, 0],
            "size": [WIDTH, SLOT * rows + WIDGET * len(self.defaults) + TITLE],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": inputs,
            "outputs": [{"name": name, "type": kind_of(output), "links": None} for name, output in self.outlets],
            "title": self.name,
            "properties": {"proxyWidgets": [["-1", name] for name in self.defaults]},
            "widgets_values": list(self.defaults.values()),
        }

    def _definition(self, identity: str) -> dict[str, Any]:
        nodes, links, groups = self.laid_out()
        by_id = {node["id"]: node for node in nodes}
        for place, (_, output) in enumerate(self.outlets):
            number = len(links) + 1
            links.append([number, output.node.id, output.slot, OUTSIDE, place, kind_of(output)])
            origin = by_id[output.node.id]["outputs"][output.slot]
            origin["links"] = [*(origin["links"] or []), number]
        right = max(node["pos"][0] + node["size"][0] for node in nodes) + BORDER_GAP
        names = self.border.info["output_name"]
        return {
            "id": identity,
            "version": 1,
            "state": {
                "lastGroupId": len(groups),
                "lastNodeId": len(nodes),
                "lastLinkId": len(links),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": self.name,
            "description": self.description,
            "inputNode": border(INSIDE, -BORDER_GAP - BORDER_WIDTH, len(names)),
            "outputNode": border(OUTSIDE, right, len(self.outlets)),
            "inputs": [
                self._slot(name, kind, [link[0] for link in links if link[1:3] == [INSIDE, place]])
                for place, (name, kind) in enumerate(zip(names, self.border.info["output"], strict=True))
            ],
            "outputs": [
                self._slot(name, kind_of(output), [link[0] for link in links if link[3:5] == [OUTSIDE, place]])
                for place, (name, output) in enumerate(self.outlets)
            ],
            "widgets": [],
            "nodes": nodes,
            "groups": groups,
            "links": [
                dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link, strict=True))
                for link in links
            ],
            "extra": {},
        }

    def _slot(self, name: str, kind: str, links: list[int]) -> dict[str, Any]:
        return {"id": self._id(f"{name} {kind}"), "name": name, "type": kind, "linkIds": links}

    def _id(self, part: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.name}/{part}"))


def kind_of(output: Output) -> str:
    """The type of what comes out there."""
    return output.node.info["output"][output.slot]


def border(number: int, x: int, slots: int) -> dict[str, Any]:
    """Where links come in or go out, as the canvas draws it."""
    return {"id": number, "bounding": [x, 0, BORDER_WIDTH, SLOT * (slots + 1) + TITLE]}
