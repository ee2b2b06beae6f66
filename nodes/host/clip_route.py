"""The pictures of a clip that has not been tracked yet, for web/js/clip_frames.js: what it is, and any frame of it.

    GET /latentsync/clip?file=NAME              {"frames", "width", "height", "fps", "changed"}
    GET /latentsync/frame?file=NAME&index=40    that frame as a small JPEG

NAME is a file of the host's input, output or temp folder as its loaders name it; without one it is the packaged clip. A
file that cannot be shown is answered by a sentence, with 400 or 404.
"""

import asyncio
import io
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import folder_paths
from aiohttp import web

from ...latentsync_core.errors import LatentSyncError
from .server import running_server

FRAME_SIDE = 768  # pixels at most
JPEG_QUALITY = 85
CLIPS_KNOWN = 8  # whose frame times are remembered
KEPT_SECONDS = 600  # by the browser


def register_clip_route() -> None:
    """Answer on the running server, where there is one."""
    server = running_server()
    if server is not None:
        server.routes.get("/latentsync/clip")(clip)
        server.routes.get("/latentsync/frame")(frame)


async def clip(request: web.Request) -> web.Response:
    """How many frames of which size a clip has."""

    def described(path: Path) -> web.Response:
        times = known_times(path)
        about = {"frames": len(times), "width": times.info.width, "height": times.info.height}
        # JavaScript rounds whole numbers of this size; it is only part of the pictures' addresses.
        return web.json_response({**about, "fps": float(times.info.fps), "changed": str(path.stat().st_mtime_ns)})

    return await answered(request, described)


async def frame(request: web.Request) -> web.Response:
    """One frame of a clip."""

    def drawn(path: Path) -> web.Response:
        from PIL import Image

        picture = Image.fromarray(known_times(path).frame(wanted_index(request)).rgb())
        picture.thumbnail((FRAME_SIDE, FRAME_SIDE))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=JPEG_QUALITY)
        kept = {"Cache-Control": f"private, max-age={KEPT_SECONDS}"}
        return web.Response(body=file.getvalue(), content_type="image/jpeg", headers=kept)

    return await answered(request, drawn)


DECODING = asyncio.Semaphore(1)  # a slider asks for more frames than anybody looks at


async def answered(request: web.Request, answer: Callable[[Path], web.Response]) -> web.Response:
    """What `answer` makes of the clip that a request names, off the server's own thread; errors as sentences."""
    try:
        path = clip_path(request.query.get("file"))
        async with DECODING:
            return await asyncio.to_thread(answer, path)
    except FileNotFoundError as error:
        return web.Response(status=404, text=str(error))
    except (LatentSyncError, IndexError) as error:
        return web.Response(status=400, text=str(error).replace(str(path), path.name))


def clip_path(name: str | None) -> Path:
    """The file that a loader calls `name`, the packaged clip without a name.

    Raises FileNotFoundError for one that is not in the host's folders, wherever the name leads.
    """
    if not name:
        from ...latentsync_core.demo import CLIP

        return CLIP
    inner, folder = folder_paths.annotated_filepath(name)
    folder = os.path.abspath(folder or folder_paths.get_input_directory())
    path = os.path.abspath(os.path.join(folder, inner))
    if not path.startswith(folder + os.sep) or not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {name!r} in the folder of inputs; choose one in its loader.")
    return Path(path)


def wanted_index(request: web.Request) -> int:
    """The number of the frame that a request asks for."""
    index = request.query.get("index", "0")
    if not index.isdigit():
        raise LatentSyncError(f"The frame {index!r} is no number; they count from 0.")
    return int(index)


def known_times(path: Path):
    """The FrameTimes of a clip, remembered while the file is the same."""
    return _frame_times(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=CLIPS_KNOWN)
def _frame_times(path: Path, changed: int):
    from ...latentsync_core.media import FrameTimes

    return FrameTimes.of(path)
