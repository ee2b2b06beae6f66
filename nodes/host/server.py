"""The host's running server, to which the pack adds routes; there is none where the nodes are only listed."""

import sys
from typing import Any


def running_server() -> Any | None:
    """ComfyUI's PromptServer, None where none runs; its module is looked up, not imported, as importing it has effects."""
    server = sys.modules.get("server")  # ComfyUI's module of that name: a host that runs has imported it
    return getattr(getattr(server, "PromptServer", None), "instance", None)
