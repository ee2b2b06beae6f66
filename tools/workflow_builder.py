"""Build a ComfyUI workflow from a description in Python, in both forms: for the canvas and for the API.

A description adds nodes to columns, from left to right and from top to bottom; inputs are keyword arguments, a link is
another node or one of its outputs:

    w.column("Inputs")
    video = w.add("LoadVideo", file="clip.mp4")
    parts = w.add("GetVideoComponents", video=video)
    w.column("Result")
    w.add("PreviewImage", images=parts["images"])

What a node takes and gives comes from a server's /object_info, so a description that does
not fit the nodes raises ValueError.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from node_heights import shown_height
from workflow_nodes import TITLE, WIDTH, Node, Output, compatible, estimate_size, read_inputs, widget_values

OPTIONAL_SHAPE = 7  # LiteGraph's hollow circle
GROUP_COLOR = "#3f789e"
GAP_X, GAP_Y, GROUP_PAD, GROUP_TITLE = 60, 24, 20, 40  # pixels
NOTE_HEIGHT, NOTE_LINE, NOTE_CHARACTER = 90, 20, 7


class Workflow:
    """A workflow under construction: `column`, `add` and `note` describe it, `canvas` and `api` emit it."""

    def __init__(self, name: str, object_info: Mapping[str, Any], packs: Mapping[str, tuple[str, str]] | None = None):
        """packs: python_module as /object_info has it -> (registry id, version), for the nodes' origin."""
        self.name, self.object_info, self.packs = name, object_info, packs or {}
        self.nodes: list[Node] = []
        self.columns: list[tuple[str, list[Node]]] = []
        self.extra: dict[str, Any] = {}

    def column(self, title: str = "") -> None:
        """Start a column to the right of the others; with a title it becomes a group.

        A group's title is the same for everybody, so ours say it in English and in Chinese.
        """
        self.columns.append((title, []))

    def add(self, node_type: str, /, **values: Any) -> Node:
        """Add a node below the last one of the column; inputs that are not named keep their defaults.

        A dotted input name (of a dynamic combo) is given as ``**{"mode.x": 1}``.
        """
        if node_type not in self.object_info:
            raise ValueError(f"the server knows no node {node_type!r}")
        info = self.object_info[node_type]
        node = Node(len(self.nodes) + 1, node_type, info, title=info["display_name"] or node_type)
        node.inputs = list(read_inputs(info["input"], values))
        node.values = {entry.name: entry.default for entry in node.inputs if entry.is_widget}
        for name, value in values.items():
            node.values[name] = self._resolve(node, name, value)
        missing = [i.name for i in node.inputs if i.required and i.name not in node.values]
        if missing:
            raise ValueError(f"{node_type} needs {', '.join(missing)}")
        identity, version = self.packs.get(info["python_module"].partition(".nodes")[0], ("", ""))
        node.properties = {"cnr_id": identity, "ver": version} if identity else {}
        node.properties["Node name for S&R"] = node_type
        node.size = estimate_size(node)
        return self._place(node)

    def note(self, markdown: str, width: int = WIDTH) -> Node:
        """Add a text for the reader to the column."""
        node = Node(len(self.nodes) + 1, "MarkdownNote", {"output": [], "output_name": []}, title="Note · 说明")
        node.values = {"": markdown.strip()}
        characters = width // NOTE_CHARACTER
        lines = sum(1 + len(line) // characters for line in node.values[""].splitlines())
        node.size = (width, max(NOTE_HEIGHT, 40 + NOTE_LINE * lines))
        node.style = {"color": "#432", "bgcolor": "#653"}
        return self._place(node)

    def _place(self, node: Node) -> Node:
        if not self.columns:
            self.column()
        self.columns[-1][1].append(node)
        self.nodes.append(node)
        return node

    def _resolve(self, node: Node, name: str, value: Any) -> Any:
        """Check a given value against its input, and turn a node into one of its outputs."""
        known = {entry.name: entry for entry in node.inputs}
        if name not in known:
            raise ValueError(f"{node.type} has no input {name!r}; it has: {', '.join(known)}")
        entry = known[name]
        if isinstance(value, Node):
            fitting = [i for i, kind in enumerate(value.info["output"]) if compatible(kind, entry.type)]
            if len(fitting) != 1:
                raise ValueError(
                    f"{value.type} has {len(fitting)} outputs for {node.type}.{name} ({entry.type}), not one"
                )
            return value[fitting[0]]
        if isinstance(value, Output):
            kind = value.node.info["output"][value.slot]
            if not compatible(kind, entry.type):
                raise ValueError(f"{node.type}.{name} takes {entry.type}, {value.node.type} gives {kind}")
        elif not entry.is_widget:
            raise ValueError(f"{node.type}.{name} is a socket for {entry.type}; {value!r} is no node")
        elif not entry.accepts(value):
            raise ValueError(f"{node.type}.{name} offers {entry.choices}, not {value!r}")
        return value

    def api(self) -> dict[str, Any]:
        """The form that POST /prompt takes."""
        return {
            str(node.id): {
                "inputs": {i.name: as_link(node.values[i.name]) for i in node.inputs if i.name in node.values},
                "class_type": node.type,
                "_meta": {"title": node.title},
            }
            for node in self.nodes
            if node.type != "MarkdownNote"
        }

    def app_view(self, inputs: Sequence[tuple[Node, str]], outputs: Sequence[Node]) -> None:
        """Say what the app view of newer hosts shows in place of the graph: widgets (node, input), and results."""
        asked = [[node.id, name] for node, name in inputs]
        self.extra = {"linearData": {"inputs": asked, "outputs": [node.id for node in outputs]}}

    def canvas(self) -> dict[str, Any]:
        """The form that the canvas saves and loads (workflow JSON 0.4)."""
        nodes, links, groups = self.laid_out()
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, self.name)),
            "revision": 0,
            "last_node_id": len(nodes),
            "last_link_id": len(links),
            "nodes": nodes,
            "links": links,
            "groups": groups,
            "config": {},
            "extra": self.extra,
            "version": 0.4,
        }

    def laid_out(self) -> tuple[list[dict[str, Any]], list[list[Any]], list[dict[str, Any]]]:
        """Nodes, links [id, from, slot, to, slot, type] and groups as the canvas has them, each in its place."""
        groups = self._arrange()
        links: list[list[Any]] = []
        nodes = [self._canvas_node(node, links) for node in self.nodes]
        by_id = {node["id"]: node for node in nodes}
        for link, source, slot, *_ in links:
            if source in by_id:  # not what comes into a subgraph from outside
                output = by_id[source]["outputs"][slot]
                output["links"] = [*(output["links"] or []), link]
        return nodes, links, groups

    def _canvas_node(self, node: Node, links: list[list[Any]]) -> dict[str, Any]:
        inputs = []
        # Sockets come first, as the canvas itself puts them.
        for entry in sorted(node.inputs, key=lambda entry: entry.is_widget):
            value, link = node.values.get(entry.name), None
            if isinstance(value, Output):
                link = len(links) + 1
                kind = value.node.info["output"][value.slot]
                links.append([link, value.node.id, value.slot, node.id, len(inputs), kind])
            shown = {"name": entry.name, "type": entry.type, "link": link}
            shown |= {"widget": {"name": entry.name}} if entry.is_widget else {}
            inputs.append(shown | ({} if entry.required else {"shape": OPTIONAL_SHAPE}))
        names, kinds = node.info["output_name"], node.info["output"]
        # A title that is the node's own is left out: the canvas then shows it in the user's language.
        own = node.info.get("display_name") or node.type
        titled = {} if node.title == own else {"title": node.title}
        return {
            "id": node.id,
            "type": node.type,
            "pos": list(node.at),
            "size": list(node.size),
            "flags": {},
            "order": node.id - 1,
            "mode": 0,
            "inputs": inputs,
            "outputs": [{"name": n, "type": t, "links": None} for n, t in zip(names, kinds, strict=True)],
            **titled,
            "properties": node.properties,
            "widgets_values": list(widget_values(node)),
            **node.style,
        }

    def _arrange(self) -> list[dict[str, Any]]:
        """Give every node its place, and return the groups around titled columns."""
        groups: list[dict[str, Any]] = []
        x = 0
        for title, nodes in self.columns:
            y, width = 0, max((node.size[0] for node in nodes), default=WIDTH)
            for node in nodes:
                node.at = (x, y)
                y += shown_height(node) + GAP_Y
            if title:
                top = -TITLE - GROUP_TITLE
                box = [x - GROUP_PAD, top, width + 2 * GROUP_PAD, y - GAP_Y - TITLE + GROUP_PAD - top]
                look = {"color": GROUP_COLOR, "font_size": 24, "flags": {}}
                groups.append({"id": len(groups) + 1, "title": title, "bounding": box, **look})
            x += width + GAP_X
        return groups


def as_link(value: Any) -> Any:
    """A value as the API has it: a link is [node id, slot]."""
    return [str(value.node.id), value.slot] if isinstance(value, Output) else value
