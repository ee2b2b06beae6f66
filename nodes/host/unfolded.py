"""Which node unfolded into the one that is running, as Lip Sync does into its stages."""

from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context

from ...latentsync_core.errors import LatentSyncError

UNFOLDING = "LatentSyncLipSync"


def unfolded_from() -> str | None:
    """The id of the Lip Sync node that the running node is a stage of; None where it stands on the canvas itself."""
    context = get_executing_context()
    if context is None:  # called by no graph
        return None
    graph = get_progress_state().dynprompt
    node = graph.get_display_node_id(context.node_id)
    return node if node != context.node_id and graph.get_node(node)["class_type"] == UNFOLDING else None


def refuse_second_clip() -> None:
    """LatentSyncError where Lip Sync was given a list: the host hands on the first result of what unfolded, no more."""
    context = get_executing_context()
    if context is not None and context.list_index and unfolded_from() is not None:
        raise LatentSyncError(
            "Lip Sync takes one clip at a time and a list of them came: put the subgraph LatentSync Lip Sync (stages) in "
            "its place, which makes a result of each."
        )
