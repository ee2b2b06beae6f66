"""ComfyUI's door to LatentSync: lip-sync nodes over the library in latentsync_core."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Called by ComfyUI when it loads custom nodes; imports nothing of the host before that."""
    from .nodes import LatentSyncExtension

    return LatentSyncExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
