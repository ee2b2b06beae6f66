"""A Hugging Face Hub on the loopback, which breaks off, refuses and lies when told to. Nothing outside is asked."""

import contextlib
import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from latentsync_core.models.catalog import ModelFile

SLOW_CHUNK = 1 << 14  # bytes between two pauses of a slow hub


@dataclass
class Hub:
    """As the real one, it describes a file, then redirects to a store under another host name.

    announced_hash, announced_size: said of every file in place of its own. cuts: the next answers of the store end
    after so many bytes. refusals: the next requests get these HTTP statuses. seconds_per_chunk: how slow the store is.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)  # by the path at which they are asked for
    announced_hash: str | None = None
    announced_size: int | None = None
    knows_range: bool = True
    cuts: list[int] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    seconds_per_chunk: float = 0.0
    requests: list[dict[str, str]] = field(default_factory=list)

    def publish(self, model: ModelFile, content: bytes) -> None:
        """Serve `content` as `model`, be it that or not."""
        self.files[f"/{model.repo_id}/resolve/{model.revision}/{quote(model.filename)}"] = content

    def ranges(self) -> list[str | None]:
        """The Range header of every request that reached the store."""
        return [seen.get("Range") for seen in self.requests if seen["path"].startswith("/store/")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802 (http.server's name)
        hub = self.server.hub
        hub.requests.append({"path": self.path, **self.headers})
        if hub.refusals:
            return self.answer(hub.refusals.pop(0))
        if self.path in hub.files:
            return self.redirect(hub)
        if self.path.startswith("/store/"):
            return self.send_content(hub, hub.files[self.path.removeprefix("/store").partition("?")[0]])
        return self.answer(404)

    def redirect(self, hub):
        content = hub.files[self.path]
        headers = {
            "Location": f"http://localhost:{self.server.server_port}/store{self.path}?signature=1",
            "X-Linked-Etag": f'"{hub.announced_hash or hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(hub.announced_size or len(content)),
        }
        self.answer(302, headers)

    def answer(self, status, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_content(self, hub, content):
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and hub.knows_range else 0
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.close_connection = True
        body = body[: hub.cuts.pop(0)] if hub.cuts else body
        with contextlib.suppress(ConnectionError):  # a client that stops listening is one of the cases
            step = SLOW_CHUNK if hub.seconds_per_chunk else len(body) or 1
            for begin in range(0, len(body), step):
                self.wfile.write(body[begin : begin + step])
                time.sleep(hub.seconds_per_chunk)

    def log_message(self, *arguments):
        logging.getLogger(__name__).debug(*arguments)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A Hub without files, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
