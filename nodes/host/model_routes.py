"""HTTP for the button Get models: what there is to fetch, start, cancel. The catalogue's names only, never an address.

A POST must be JSON, which a page of another origin cannot send without the host's leave (CORS); the host itself refuses
other origins on the loopback.
"""

import asyncio
from typing import Any

from ...latentsync_core.errors import LatentSyncError
from .get_models import BusyError, Downloads, OfflineError, Status
from .published_files import LOADERS, files_of, offline_reason
from .server import running_server

EVENT = "latentsync.models"  # of the host's WebSocket
ROUTE = "/latentsync/models"


def register_routes() -> None:
    """Add the routes to the running host; where there is none, as when the nodes are only listed, nothing is added."""
    server = running_server()
    if server is None:
        return

    def tell(status: Status) -> None:
        server.send_sync(EVENT, status.as_message())

    add_routes(server.routes, Downloads(tell))


def add_routes(routes: Any, downloads: Downloads) -> None:
    """GET what a loader's files are, GET how far a download is, POST to start or cancel it."""
    from aiohttp import web

    def refused(error: LatentSyncError, status: int) -> web.Response:
        return web.json_response({"error": str(error)}, status=status)

    async def json_body(request: web.Request) -> dict:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="application/json is needed")
        try:
            body = await request.json()
        except ValueError as error:
            raise web.HTTPBadRequest(text="the body is no JSON") from error
        if not isinstance(body, dict):
            raise web.HTTPBadRequest(text="a JSON object is needed")
        return body

    @routes.get(ROUTE)
    async def list_files(request: web.Request) -> web.Response:
        loader = request.query.get("loader", "")
        if loader not in LOADERS:
            return refused(LatentSyncError(f"There is no loader {loader!r}; known are {', '.join(LOADERS)}."), 404)
        files = await asyncio.to_thread(files_of, loader)
        return web.json_response({"files": files, "input": LOADERS[loader].input, "offline": offline_reason()})

    @routes.get(f"{ROUTE}/status")
    async def status(request: web.Request) -> web.Response:
        return web.json_response(downloads.status.as_message())

    @routes.post(f"{ROUTE}/download")
    async def start(request: web.Request) -> web.Response:
        body = await json_body(request)
        names = body.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise web.HTTPBadRequest(text="names must be a list of names")
        try:
            downloads.start(str(body.get("loader")), names, body.get("fp16") is True)
        except OfflineError as error:
            return refused(error, 403)
        except BusyError as error:
            return refused(error, 409)
        except LatentSyncError as error:
            return refused(error, 400)
        return web.json_response(downloads.status.as_message(), status=202)

    @routes.post(f"{ROUTE}/cancel")
    async def cancel(request: web.Request) -> web.Response:
        await json_body(request)
        downloads.cancel()
        return web.json_response(downloads.status.as_message())
