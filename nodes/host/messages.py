"""What the library warns of, said in the node that is running as well as in the log."""

from collections.abc import Iterator
from contextlib import contextmanager

from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context

from ...latentsync_core.run_log import noting_warnings


@contextmanager
def warnings_in_node() -> Iterator[None]:
    """Show in the running node, when the block ends, what the library has logged as warnings inside it."""
    with noting_warnings() as warnings:
        yield
    if warnings:
        show_in_node("\n".join(warnings))


def show_in_node(text: str) -> None:
    """Show a text below the running node's widgets; of a node that another unfolded into, in that other one."""
    context = get_executing_context()
    if context is None:  # called by no graph
        return
    from server import PromptServer  # ComfyUI's module of that name, which only a running host can import

    node = get_progress_state().dynprompt.get_display_node_id(context.node_id)
    PromptServer.instance.send_progress_text(text, node)
