"""Write the example workflows, for the canvas and for the API, and the subgraphs, from their descriptions.

    python tools/build_workflows.py --server http://127.0.0.1:8188

A development tool. Each description is a Python file with a function ``describe(w)``: in tools/workflows for the canvas
and the API (workflow_builder.py), in tools/subgraphs with a NAME for the list of nodes (subgraph_builder.py). What
the nodes take and give is read from a running ComfyUI with this pack. With --check nothing is written: exit code 2
means that a file differs from its description.
"""

import argparse
import importlib.util
import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from subgraph_builder import Subgraph
from workflow_builder import Workflow

CHECKOUT = Path(__file__).parents[1]
TOOLS = Path(__file__).parent
EXAMPLES = CHECKOUT / "workflows"  # ComfyUI offers its files as templates
SUBGRAPHS = CHECKOUT / "subgraphs"  # ComfyUI lists its files among the nodes
CORE_MODULES = ("nodes", "comfy_extras")


def fetch(address: str) -> Any:
    """GET a JSON document."""
    with urllib.request.urlopen(address, timeout=30) as reply:
        return json.load(reply)


def read_packs(object_info: dict[str, Any], comfyui_version: str) -> dict[str, tuple[str, str]]:
    """Where nodes come from: python_module -> (registry id, version), for ComfyUI's own nodes and this pack's."""
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    identity = re.search(r'^name = "(.+)"', project, re.MULTILINE)[1]
    package = (CHECKOUT / "latentsync_core/__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"', package, re.MULTILINE)[1]
    modules = {info["python_module"] for info in object_info.values()}
    core = {m: ("comfy-core", comfyui_version) for m in modules if m.partition(".")[0] in CORE_MODULES}
    own = {m: (identity, version) for m in modules if m.startswith("custom_nodes.latentsync")}
    return core | own


def read_descriptions(kind: str) -> Iterator[ModuleType]:
    """The descriptions of a kind, "workflows" or "subgraphs", in the order of their names."""
    for path in sorted((TOOLS / kind).glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def build(server: str) -> dict[Path, str]:
    """Every file that the descriptions give, with its text."""
    object_info = fetch(f"{server}/object_info")
    packs = read_packs(object_info, fetch(f"{server}/system_stats")["system"]["comfyui_version"])
    documents = {}
    for module in read_descriptions("workflows"):
        workflow = Workflow(module.__name__, object_info, packs)
        module.describe(workflow)
        documents[EXAMPLES / f"{workflow.name}.json"] = workflow.canvas()
        documents[EXAMPLES / "api" / f"{workflow.name}.json"] = workflow.api()
    for module in read_descriptions("subgraphs"):
        subgraph = Subgraph(module.NAME, object_info, packs)
        module.describe(subgraph)
        documents[SUBGRAPHS / f"{subgraph.name}.json"] = subgraph.blueprint()
    return {path: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for path, document in documents.items()}


def main() -> int:
    """Write the files, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (%(default)s)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 2 where a file differs")
    arguments = parser.parse_args()
    files = build(arguments.server.rstrip("/"))
    stale = [p for p, text in files.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    for path in stale:
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        print(f"{path.relative_to(CHECKOUT)} {'differs from its description' if arguments.check else 'written'}")
    return 2 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.path.insert(0, str(CHECKOUT))  # the descriptions read this checkout's catalogue of published files
    sys.exit(main())
