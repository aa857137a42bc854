"""An identity provider's JWKS endpoints on a real socket, as well or badly behaved as asked for."""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from tocsin_schemas import strict_json


@dataclass
class Page:
    """What one path answers; ``drip_s`` sends white space, with that pause, for ever."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float | None = None
    drip_bytes: int = 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = cast("_Server", self.server)
        server.provider.requests[self.path] += 1
        server.provider.seen.append(dict(self.headers))
        page = server.provider.pages.get(self.path, Page(status=404))
        self.close_connection = True
        with suppress(OSError):
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.drip_s is None:
                self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if page.drip_s is None:
                self.wfile.write(page.body)
            while page.drip_s is not None and not server.stopped.wait(page.drip_s):
                self.wfile.write(b" " * page.drip_bytes)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, provider: Provider) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider
        self.stopped = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what is tested."""


class Provider:
    """``pages`` by path may be changed at any time; ``requests`` counts, ``seen`` has headers."""

    def __init__(self, server: Callable[[Provider], _Server], scheme: str) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: Counter[str] = Counter()
        self.seen: list[dict[str, str]] = []
        self.server = server(self)
        self.base = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"

    def publish(self, path: str, *keys: dict[str, Any]) -> str:
        """Serve a JWK Set; returns its URI."""
        self.pages[path] = Page(
            strict_json.dumps({"keys": list(keys)}), headers={"Content-Type": "application/json"}
        )
        return self.base + path


@contextmanager
def provider(tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """A provider that serves until the end of the block."""

    def bound(one: Provider) -> _Server:
        server = _Server(one)
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        return server

    one = Provider(bound, "http" if tls is None else "https")
    thread = threading.Thread(target=lambda: one.server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield one
    finally:
        one.server.stopped.set()
        one.server.shutdown()
        thread.join()
        one.server.server_close()
