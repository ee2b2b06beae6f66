"""Run a workflow on a ComfyUI server: upload the inputs, show the progress, download the results.

    python tools/queue_workflow.py lipsync.json --upload LoadVideo.file=clip.mp4 --upload LoadAudio.audio=voice.wav \
        --set KSampler.seed=5 --out results

The workflow is in API format (in ComfyUI: Workflow > Export (API)). A node is named by its id, its title or its class.
Needs aiohttp, which ComfyUI brings along. Errors are one sentence, with exit code 2.
"""

import argparse
import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp

Workflow = dict[str, dict[str, Any]]  # node id -> class_type, inputs, _meta


class WorkflowError(Exception):
    """Something the user can act on; the message is one sentence, or one per faulty node."""


class ComfyServer:
    """A ComfyUI server over HTTP and its WebSocket; an asynchronous context manager."""

    def __init__(self, address: str):
        self.address = address.rstrip("/") if "://" in address else f"http://{address.rstrip('/')}"
        self.client_id = uuid.uuid4().hex

    async def __aenter__(self) -> "ComfyServer":
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=10))
        try:
            # Previews come as binary messages of any size.
            self.socket = await self.session.ws_connect(f"{self.address}/ws?clientId={self.client_id}", max_msg_size=0)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            await self.session.close()
            message = f"No ComfyUI answers at {self.address} ({error}); start it, or name it with --server."
            raise WorkflowError(message) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self.session.close()

    async def get(self, path: str) -> Any:
        """GET a JSON document."""
        async with self.session.get(self.address + path) as reply:
            reply.raise_for_status()
            return await reply.json()

    async def upload(self, file: Path, subfolder: str = "") -> str:
        """Put a file of any kind into the server's input folder; returns the value that a loader node takes."""
        with file.open("rb") as stream:
            form = aiohttp.FormData({"type": "input", "subfolder": subfolder})
            form.add_field("image", stream, filename=file.name)  # the field's name, whatever the file is
            async with self.session.post(f"{self.address}/upload/image", data=form) as reply:
                if reply.status == 413:
                    raise WorkflowError(f"{file} is too large for the server; start it with --max-upload-size (MB).")
                reply.raise_for_status()
                stored = await reply.json()
        return str(PurePosixPath(stored["subfolder"], stored["name"]))

    async def queue(self, workflow: Workflow) -> str:
        """Queue a workflow and return its prompt id. Raises WorkflowError with what the server refused, per node."""
        request = {"prompt": workflow, "client_id": self.client_id}
        async with self.session.post(f"{self.address}/prompt", json=request) as reply:
            answer = await reply.json()
            if reply.status != 200:
                raise WorkflowError(describe_refusal(answer, workflow))
            return answer["prompt_id"]

    async def interrupt(self, prompt_id: str) -> None:
        """Take the prompt out of the queue, or stop it where it runs."""
        await self.session.post(f"{self.address}/queue", json={"delete": [prompt_id]})
        await self.session.post(f"{self.address}/interrupt", json={"prompt_id": prompt_id})

    async def follow(self, prompt_id: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield (event, data) of one prompt as they come; when they end, its results are in the history."""
        async for message in self.socket:
            event = json.loads(message.data) if message.type == aiohttp.WSMsgType.TEXT else {"data": {}}
            if event["data"].get("prompt_id") == prompt_id:
                yield event["type"], event["data"]
                if event["type"] == "executing" and event["data"]["node"] is None:
                    return
        raise WorkflowError(f"{self.address} closed the connection before the workflow ended; see ComfyUI's log.")

    async def results(self, prompt_id: str) -> list[dict[str, str]]:
        """What the prompt's nodes show for files: node, filename, subfolder and type (output or temp) of each.

        Our nodes' temporary ones are left out: they show what another node saves.
        """
        history = await self.get(f"/history/{prompt_id}")
        return [
            {"node": node, **entry}
            for node, shown in history[prompt_id]["outputs"].items()
            for entries in shown.values()
            for entry in entries
            if isinstance(entry, dict) and "filename" in entry and not is_preview(entry)
        ]

    async def download(self, entry: dict[str, str], folder: Path) -> Path:
        """Fetch one of `results` into `folder`, below its own subfolder; a file already there is kept beside it."""
        named = folder / PurePosixPath(entry["subfolder"]) / entry["filename"]
        names = (named.with_stem(f"{named.stem}-{n}") if n > 1 else named for n in count(1))
        target = next(name for name in names if not name.exists())
        if not target.resolve().is_relative_to(folder.resolve()):
            raise WorkflowError(f"The server offers {entry['filename']} outside of {folder}; it is left there.")
        target.parent.mkdir(parents=True, exist_ok=True)
        query = {key: entry[key] for key in ("filename", "subfolder", "type")}
        async with self.session.get(f"{self.address}/view", params=query) as reply:
            reply.raise_for_status()
            with target.open("wb") as stream:
                async for block in reply.content.iter_chunked(1 << 20):
                    stream.write(block)
        return target


def describe_refusal(answer: dict[str, Any], workflow: Workflow) -> str:
    """One line per node that the server refused, else its general message."""
    lines = [
        f"{node_label(node, workflow)}: {fault['message']}" + (f" ({fault['details']})" if fault["details"] else "")
        for node, errors in answer.get("node_errors", {}).items()
        for fault in errors["errors"]
    ]
    lines = lines or [answer["error"]["details"]]
    return "\n  ".join([f"ComfyUI refuses the workflow: {answer['error']['message']}", *filter(None, lines)])


def node_label(node: str, workflow: Workflow) -> str:
    """The node's title and id, as on the canvas; nodes made during the run have an id like 4.0.2."""
    entry = workflow.get(node) or workflow.get(str(node).partition(".")[0])
    return f"node {node}" if entry is None else f"{title(entry)} (node {node})"


def title(entry: dict[str, Any]) -> str:
    """What the canvas calls a node."""
    return entry.get("_meta", {}).get("title") or entry["class_type"]


def read_workflow(path: Path) -> Workflow:
    """Read an API-format workflow, not a canvas file; the former NAME.api.json is found at api/NAME.json."""
    if not path.is_file() and path.name.endswith(".api.json"):
        moved = path.parent / "api" / f"{path.name.removesuffix('.api.json')}.json"
        path = moved if moved.is_file() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkflowError(f"{path} cannot be read as a workflow ({error}).") from error
    if isinstance(content, dict) and isinstance(content.get("nodes"), list):
        raise WorkflowError(f"{path} is laid out for the canvas; choose Workflow > Export (API) in ComfyUI instead.")
    if not isinstance(content, dict) or not all(isinstance(n, dict) and "class_type" in n for n in content.values()):
        raise WorkflowError(f"{path} is no ComfyUI workflow in API format; every node there has a class_type.")
    return content


def assign(workflow: Workflow, target: str, value: Any) -> None:
    """Set the input that `target` (NODE.INPUT) names."""
    name, dot, key = target.partition(".")
    nodes = [n for n, entry in workflow.items() if name in (n, title(entry), entry["class_type"])]
    if not dot or not key:
        raise WorkflowError(f"{target!r} names no input; write NODE.INPUT, for example KSampler.seed.")
    if len(nodes) != 1:
        known = ", ".join(f"{n} {title(entry)}" for n, entry in workflow.items())
        raise WorkflowError(f"{name!r} names {len(nodes)} nodes instead of one; the workflow has: {known}.")
    inputs = workflow[nodes[0]]["inputs"]
    if key not in inputs:
        raise WorkflowError(f"{title(workflow[nodes[0]])} has no input {key!r}; it has: {', '.join(inputs)}.")
    inputs[key] = value


def parse_value(text: str) -> Any:
    """A number, true, false or null where it is one, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value


def split_pair(text: str) -> tuple[str, str]:
    target, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} lacks the equals sign of NODE.INPUT=VALUE")
    return target, value


async def run_workflow(
    server: ComfyServer, workflow: Workflow, on_event: Callable[[str, dict[str, Any]], None]
) -> list[dict[str, str]]:
    """Queue a workflow, report its events and return its results; a cancelled task interrupts the server too."""
    prompt_id = await server.queue(workflow)
    failure = None
    try:
        async for event, data in server.follow(prompt_id):
            on_event(event, data)
            if event == "execution_error":
                failure = f"{node_label(data['node_id'], workflow)} failed: {data['exception_message'].strip()}"
            elif event == "execution_interrupted":
                failure = "The workflow was interrupted on the server."
    except asyncio.CancelledError:
        await server.interrupt(prompt_id)
        raise
    if failure:
        raise WorkflowError(failure)
    return await server.results(prompt_id)


def is_preview(entry: dict[str, str]) -> bool:
    """Whether a file is what a node of this pack shows below itself."""
    return entry["type"] == "temp" and entry["filename"].startswith("latentsync_")


def progress_line(workflow: Workflow) -> Callable[[str, dict[str, Any]], None]:
    """An `on_event` that shows the node at work: one moving line on a terminal, a line per node elsewhere."""
    live = sys.stderr.isatty()

    def show(event: str, data: dict[str, Any]) -> None:
        if event == "executing":
            label = node_label(data["node"], workflow) if data["node"] else ""
            sys.stderr.write(f"\r\x1b[K{label}" if live else label and f"{label}\n")
        elif event == "progress" and live:
            sys.stderr.write(f"\r\x1b[K{node_label(data['node'], workflow)}: {data['value']} of {data['max']}")
        sys.stderr.flush()

    return show


async def main_async(arguments: argparse.Namespace) -> None:
    workflow = read_workflow(arguments.workflow)
    for target, text in arguments.set:
        assign(workflow, target, parse_value(text))
    for target, name in arguments.upload:
        assign(workflow, target, name)  # a wrong name is told before the upload
        if not Path(name).is_file():
            raise WorkflowError(f"{name} is not there to be uploaded for {target}.")
    async with ComfyServer(arguments.server) as server:
        for target, name in arguments.upload:
            assign(workflow, target, await server.upload(Path(name)))
        results = await run_workflow(server, workflow, progress_line(workflow))
        for entry in results:
            print(await server.download(entry, arguments.out))
    if not results:
        raise WorkflowError("The workflow ended without showing a file; it needs a node that saves, such as SaveVideo.")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line; 0 when the results are there, 2 with a sentence on stderr, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("workflow", type=Path, help="API-format workflow (.json)")
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (%(default)s)")
    parser.add_argument("--set", type=split_pair, action="append", default=[], metavar="NODE.INPUT=VALUE")
    parser.add_argument("--upload", type=split_pair, action="append", default=[], metavar="NODE.INPUT=FILE")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the results (the current one)")
    try:
        asyncio.run(main_async(parser.parse_args(argv)))
        return 0
    except WorkflowError as error:
        print(f"error: {error}", file=sys.stderr)
    except aiohttp.ClientError as error:
        print(f"error: ComfyUI stopped answering ({error}); see its log.", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or 'the connection'}: {error.strerror or error}.", file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped, and ComfyUI with it.", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
