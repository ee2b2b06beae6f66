"""Record the schemas of the nodes: tests/nodes/schema.json, and the English texts in locales/en.

    python tools/record_nodes.py /path/to/ComfyUI

Saved workflows store widget values by position and links by slot, so this refuses to record a change that breaks them:
inputs and outputs may only be appended, and what is appended must be optional. --breaking records it all the same.
Run it with the interpreter that runs ComfyUI.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from pack_in_process import CHECKOUT, load_pack, node_classes

SCHEMA = CHECKOUT / "tests" / "nodes" / "schema.json"
LOCALES = CHECKOUT / "locales"
RECORDED = ("default", "min", "max", "step", "options", "control_after_generate")  # of an input
Schema = dict[str, dict[str, Any]]  # node id -> inputs, outputs


def node_infos(pack) -> dict[str, dict[str, Any]]:
    """The description of every node of the pack as the server sends it to the canvas, as in /object_info."""
    return {node_id: node.GET_NODE_INFO_V1() for node_id, node in node_classes(pack).items()}


def describe(infos: dict[str, dict[str, Any]]) -> Schema:
    """What a saved workflow relies on, in the order it relies on: inputs and outputs of every node."""
    return {
        node_id: {
            "inputs": {
                name: {"type": kind, "optional": group == "optional"}
                | {key: options[key] for key in RECORDED if key in options}
                for group in ("required", "optional")
                for name, (kind, options) in info["input"].get(group, {}).items()
            },
            "outputs": [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)],
        }
        for node_id, info in infos.items()
    }


def breaks(old: Schema, new: Schema) -> list[str]:
    """One sentence for everything that makes a workflow saved with `old` fail or mean something else under `new`."""
    found = [f"{node_id} is gone" for node_id in old if node_id not in new]
    for node_id in [node_id for node_id in old if node_id in new]:
        before, after = old[node_id], new[node_id]
        known, now = list(before["inputs"]), list(after["inputs"])
        if now[: len(known)] != known:
            found.append(f"{node_id}: the inputs were {known} and now begin {now[: len(known)]}")
        for name in now:
            if name not in known and not after["inputs"][name]["optional"]:
                found.append(f"{node_id}: the new input {name} must be optional")
        for name in [name for name in known if name in now]:
            found += [f"{node_id}.{name}: {what}" for what in narrowed(before["inputs"][name], after["inputs"][name])]
        outputs = before["outputs"]
        if after["outputs"][: len(outputs)] != outputs:
            found.append(f"{node_id}: the outputs were {outputs} and now are {after['outputs']}")
    return found


def narrowed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What one input accepted before and no longer accepts."""
    found = []
    if new["type"] != old["type"]:
        found.append(f"the type was {old['type']} and now is {new['type']}")
    if old["optional"] and not new["optional"]:
        found.append("it was optional and now is required")
    if lost := [option for option in old.get("options", ()) if option not in new.get("options", ())]:
        found.append(f"the options {lost} are gone")
    if old.get("control_after_generate") != new.get("control_after_generate"):
        found.append("control_after_generate changed, which is a widget with a place of its own")
    if "min" in old and new.get("min", old["min"]) > old["min"]:
        found.append(f"the least value was {old['min']} and now is {new['min']}")
    if "max" in old and new.get("max", old["max"]) < old["max"]:
        found.append(f"the greatest value was {old['max']} and now is {new['max']}")
    return found


def english(infos: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The texts of the schema in the form of locales/<language>/nodeDefs.json."""
    return {
        node_id: {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": {
                name: {"name": options.get("display_name") or name, "tooltip": options.get("tooltip", "")}
                for group in ("required", "optional")
                for name, (_, options) in info["input"].get(group, {}).items()
            },
            "outputs": {
                str(slot): {"name": name} | ({"tooltip": tooltip} if tooltip else {})
                for slot, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
            },
        }
        for node_id, info in infos.items()
    }


def keys(texts: Any, path: str = "") -> set[str]:
    """The path of every text in a nested dictionary, such as `LatentSyncNoise.inputs.seed.tooltip`."""
    if not isinstance(texts, dict):
        return {path}
    return {key for name, below in texts.items() for key in keys(below, f"{path}.{name}" if path else name)}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def report_translations(texts: dict[str, Any]) -> None:
    """Print for every other language which texts are missing and which are unused."""
    for file in sorted(LOCALES.glob("*/nodeDefs.json")):
        missing, spare = keys(texts) - keys(read(file)), keys(read(file)) - keys(texts)
        for what, which in (("lacks", missing), ("has unused", spare)):
            if which:
                print(f"{file.relative_to(CHECKOUT)} {what}:", *sorted(which), sep="\n  ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comfyui", type=Path, help="a ComfyUI checkout")
    parser.add_argument("--breaking", action="store_true", help="record even what breaks saved workflows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        infos = node_infos(load_pack(options.comfyui.resolve(), Path(base)))
    schema, texts = describe(infos), english(infos)
    broken = breaks(read(SCHEMA), schema)
    print(*broken, sep="\n", end="\n" if broken else "")
    if broken and not options.breaking:
        print("Nothing was recorded: saved workflows would break (--breaking records it all the same).")
        return 1
    write(SCHEMA, schema)
    write(LOCALES / "en" / "nodeDefs.json", texts)
    report_translations(texts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
