"""The tests' view of a running ComfyUI: one call per workflow, told apart by what its nodes did.

It drives the server through tools/queue_workflow.py, so whatever the tests rely on is what users get.
"""

import asyncio
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from host_server import HostServer
from PIL import Image
from queue_workflow import ComfyServer, Workflow, WorkflowError

RUN_SECONDS = 300  # a workflow that takes longer here hangs
PREVIEW_IMAGE, TEXT = 1, 3  # kinds of binary messages


@dataclass
class Run:
    """What one workflow did: nodes in order of execution, cached nodes, progress steps, failure, shown files."""

    prompt_id: str = ""
    executed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    progress: list[tuple[str, int, int]] = field(default_factory=list)  # node, done, total
    bars: list[dict[str, float]] = field(default_factory=list)  # node on the canvas -> how full its bar is, over time
    previews: list[Image.Image] = field(default_factory=list)  # pictures of nodes at work
    texts: list[tuple[str, str]] = field(default_factory=list)  # node, line of text shown while it works
    error: dict[str, Any] | None = None  # node_id, node_type, exception_type, exception_message, traceback
    interrupted: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)  # node -> what it shows
    files: list[Path] = field(default_factory=list)


class HostClient:
    """Runs workflows on the server under test and waits for each."""

    def __init__(self, host: HostServer):
        self.host = host

    def get(self, path: str) -> Any:
        """GET a JSON document, for example ``/object_info/LoadVideo``."""
        return self._with_server(lambda server: server.get(path))

    def upload(self, file: Path, subfolder: str = "") -> str:
        """Put a file into the server's input folder; returns what a loader node takes."""
        return self._with_server(lambda server: server.upload(file, subfolder))

    def refusal(self, workflow: Workflow) -> str:
        """Queue a workflow that must not pass validation, and return what is said about it."""
        try:
            prompt_id = self._with_server(lambda server: server.queue(workflow))
        except WorkflowError as error:
            return str(error)
        raise AssertionError(f"the server accepted the workflow as {prompt_id}")

    def run(self, workflow: Workflow, interrupt_when: Callable[[str, dict], bool] | None = None) -> Run:
        """Run a workflow to its end; `interrupt_when(event, data)` presses Cancel at the first true."""
        return self._with_server(lambda server: self._run(server, workflow, interrupt_when))

    async def _run(self, server: ComfyServer, workflow: Workflow, interrupt_when) -> Run:
        run = Run(await server.queue(workflow))
        server.socket = WatchedSocket(server.socket, run)
        async for event, data in server.follow(run.prompt_id):
            record(run, event, data)
            if interrupt_when is not None and interrupt_when(event, data):
                interrupt_when = None
                await server.interrupt(run.prompt_id)
        run.outputs = (await server.get(f"/history/{run.prompt_id}"))[run.prompt_id]["outputs"]
        for entry in await server.results(run.prompt_id):
            run.files.append(self.host.base / entry["type"] / entry["subfolder"] / entry["filename"])
        return run

    def _with_server(self, call: Callable[[ComfyServer], Any]) -> Any:
        async def connected() -> Any:
            async with ComfyServer(self.host.address) as server:
                return await asyncio.wait_for(call(server), RUN_SECONDS)

        return asyncio.run(connected())


class WatchedSocket:
    """The server's WebSocket, of which the binary messages are taken down as well."""

    def __init__(self, socket, run: Run):
        self.socket, self.run = socket, run

    async def __aiter__(self):
        async for message in self.socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                record_binary(self.run, message.data)
            yield message

    async def close(self) -> None:
        """Close it."""
        await self.socket.close()


def record_binary(run: Run, message: bytes) -> None:
    """Take down a picture or a line of text: a number of four bytes says which, as in the host's protocol.py."""
    kind, rest = int.from_bytes(message[:4], "big"), message[4:]
    if kind == PREVIEW_IMAGE:  # another such number tells JPEG from PNG
        run.previews.append(Image.open(io.BytesIO(rest[4:])).convert("RGB"))
    elif kind == TEXT:
        length = int.from_bytes(rest[:4], "big")
        run.texts.append((rest[4 : 4 + length].decode(), rest[4 + length :].decode()))


def record(run: Run, event: str, data: dict[str, Any]) -> None:
    """Take one event of the WebSocket down."""
    if event == "executing" and data["node"] is not None:
        run.executed.append(data["node"])
    elif event == "execution_cached":
        run.cached += data["nodes"]
    elif event == "progress":
        run.progress.append((data["node"], data["value"], data["max"]))
    elif event == "progress_state":
        run.bars.append(shown_bars(data["nodes"].values()))
    elif event == "execution_error":
        run.error = data
    elif event == "execution_interrupted":
        run.interrupted = True


def shown_bars(states: Iterable[dict[str, Any]]) -> dict[str, float]:
    """How full the page shows the bars of nodes at work: of a node that unfolded, the least full that is not empty."""
    shares: dict[str, list[float]] = {}
    for state in states:
        if state["state"] == "running":
            shares.setdefault(state["display_node_id"], []).append(state["value"] / state["max"])
    return {node: min((share for share in found if share), default=0.0) for node, found in shares.items()}
