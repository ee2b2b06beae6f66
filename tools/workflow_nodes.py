"""The nodes of a workflow under construction: what one takes, gives and holds, as /object_info describes it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
MATCHED_TYPE = "COMFY_MATCHTYPE_V3"  # an output of the type that an input turned out to have
UPLOADS = ("image_upload", "video_upload", "animated_image_upload")
MODEL_FILES = (".safetensors", ".pt", ".pth", ".ckpt", ".gguf")
SEEDS = ("seed", "noise_seed")
BUTTONS = ("LatentSyncLoadModel", "LatentSyncLoadMuseTalkModel", "LatentSyncLoadWhisper", "LatentSyncLoadVAE")
"""Nodes to which this pack's own script adds a button, web/js/get_models.js."""

# Pixels, as the canvas draws nodes.
TITLE, SLOT, WIDGET, BUTTON, TEXT, PICTURE = 30, 20, 24, 34, 80, 300
WIDTH = 300


@dataclass(frozen=True)
class Input:
    """One input of a node as the canvas sees it."""

    name: str
    type: str
    options: Mapping[str, Any]
    required: bool
    extra: tuple[Any, ...] = ()  # what the canvas stores after the widget's value

    @property
    def is_widget(self) -> bool:
        """Whether it has a widget, beside its socket."""
        return self.type in (*WIDGET_TYPES, DYNAMIC_COMBO) and not self.options.get("forceInput")

    @property
    def default(self) -> Any:
        """The value a fresh node has."""
        choices = self.choices
        fallback = choices[0] if choices else {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}.get(self.type)
        return self.options.get("default", fallback)

    @property
    def choices(self) -> list[Any]:
        """What a combo offers."""
        if self.type == DYNAMIC_COMBO:
            return [option["key"] for option in self.options["options"]]
        return self.options.get("options", [])

    def accepts(self, value: Any) -> bool:
        """Whether a combo offers the value, here or on a machine that has other files."""
        files = any(self.options.get(upload) for upload in (*UPLOADS, "audio_upload"))
        return not self.choices or value in self.choices or files or str(value).endswith(MODEL_FILES)


@dataclass(frozen=True)
class Output:
    """One output of a node in the workflow: the origin of a link."""

    node: "Node"
    slot: int


@dataclass(eq=False)
class Node:
    """One node of the workflow. ``node["name"]`` or ``node[0]`` is an output."""

    id: int
    type: str
    info: Mapping[str, Any]
    inputs: list[Input] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)  # input name -> widget value, or Output
    title: str = ""
    size: tuple[int, int] = (0, 0)
    at: tuple[int, int] = (0, 0)
    properties: dict[str, Any] = field(default_factory=dict)
    style: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, output: str | int) -> Output:
        names = self.info["output_name"]
        if isinstance(output, str) and output not in names:
            raise ValueError(f"{self.type} has no output {output!r}; it has: {', '.join(names)}")
        return Output(self, names.index(output) if isinstance(output, str) else output)

    def look(
        self, title: str | None = None, width: int | None = None, height: int | None = None, color: str | None = None
    ) -> "Node":
        """Change how the node is shown; sizes in pixels, without the title."""
        self.title = title or self.title
        self.size = (width or self.size[0], height or self.size[1])
        self.style.update({"color": color} if color else {})
        return self

    def suggest_models(self, *models: Mapping[str, str]) -> "Node":
        """Attach download hints (name, url, directory) that the canvas shows where the file is missing."""
        self.properties["models"] = [dict(model) for model in models]
        return self


def read_inputs(groups: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> Iterator[Input]:
    """The inputs of a node in the canvas's order; those of a dynamic combo follow from its chosen option."""
    for group in ("required", "optional"):
        for name, spec in groups.get(group, {}).items():
            kind, options = spec[0], spec[1] if len(spec) > 1 else {}
            if isinstance(kind, list):  # the older spelling of a combo
                kind, options = "COMBO", {**options, "options": kind}
            if kind == MATCHED_TYPE:
                kind = options["template"]["allowed_types"]
            if kind.startswith("COMFY_AUTOGROW"):
                raise ValueError(f"{prefix}{name} grows with its links, which is not supported here")
            control = kind == "INT" and options.get("control_after_generate", name in SEEDS)
            extra = ("fixed",) if control else ()
            entry = Input(prefix + name, kind, options, group == "required", extra)
            yield entry
            if kind == DYNAMIC_COMBO:
                chosen = values.get(entry.name, entry.default)
                option = next((o for o in options["options"] if o["key"] == chosen), {"inputs": {}})
                yield from read_inputs(option["inputs"], values, f"{entry.name}.")


def widget_values(node: Node) -> Iterator[Any]:
    """The positional values of a node's widgets, with those of the buttons that the canvas adds by itself."""
    if node.type == "MarkdownNote":
        yield node.values[""]
    added: list[Any] = []  # after the required inputs, before the optional ones
    for entry in (*node.inputs, None):
        if added and (entry is None or not entry.required):
            yield from added
            added = []
        if entry is None or not entry.is_widget:
            continue
        value = node.values[entry.name]
        yield entry.default if isinstance(value, Output) else value
        yield from entry.extra
        if any(entry.options.get(upload) for upload in UPLOADS):
            added.append("image")
        elif entry.options.get("audio_upload"):
            added += [None, ""]


def compatible(given: str, wanted: str) -> bool:
    """Whether an output of one type may go into an input of another; types may be unions."""
    return given in ("*", MATCHED_TYPE) or wanted == "*" or bool(set(given.split(",")) & set(wanted.split(",")))


def estimate_size(node: Node) -> tuple[int, int]:
    """How large the canvas will draw a node, in pixels without the title, with room for what it will show."""
    widgets = [entry for entry in node.inputs if entry.is_widget]
    sockets = max(len(node.inputs) - len(widgets), len(node.info["output"]))
    height = SLOT * sockets + (14 if widgets else 6) + sum(WIDGET * (1 + len(w.extra)) for w in widgets)
    height += BUTTON * (node.type in BUTTONS)
    height += TEXT * sum(bool(w.options.get("multiline")) for w in widgets)
    if any(w.options.get("audio_upload") for w in widgets):
        height += 3 * WIDGET + 6  # the player and the upload button
    uploads = any(w.options.get(upload) for w in widgets for upload in UPLOADS)
    shows = node.info.get("output_node") and any(e.type in ("IMAGE", "VIDEO") for e in node.inputs)
    return WIDTH, height + WIDGET * uploads + PICTURE * bool(uploads or shows)
