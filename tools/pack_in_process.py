"""Import this pack into the running interpreter as ComfyUI would, without a server and without the user's files.

Needs ComfyUI's own requirements installed; everything runs on the CPU.
"""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

CHECKOUT = Path(__file__).parents[1]
PACK = "latentsync"


def load_pack(comfyui: Path, base: Path) -> ModuleType:
    """The pack as the package `latentsync`; `base` takes the place of ComfyUI's folders for models, input and output.

    comfyui: a ComfyUI checkout. Raises ModuleNotFoundError where the interpreter lacks one of its requirements.
    """
    if PACK in sys.modules:
        return sys.modules[PACK]
    # First, because this checkout may be on the path too and its `nodes` must not hide ComfyUI's.
    sys.path.insert(0, str(comfyui))
    from comfy.cli_args import args  # reads no command line unless main.py asks it to

    args.cpu, args.base_directory = True, str(base)
    spec = importlib.util.spec_from_file_location(
        PACK, CHECKOUT / "__init__.py", submodule_search_locations=[str(CHECKOUT)]
    )
    pack = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = pack
    spec.loader.exec_module(pack)
    return pack


def node_classes(pack: ModuleType) -> dict[str, type]:
    """The pack's nodes by their id, in the order in which it lists them."""

    async def listed() -> list[type]:
        return await (await pack.comfy_entrypoint()).get_node_list()

    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(listed())}
