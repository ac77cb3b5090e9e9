"""A real browser, headless Chromium, told what to do over its debugging protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import urlopen

from dev.servers import free_port
from tests.eventually import eventually

PROGRAM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
TEXT = 0x81  # a whole message of text, in WebSocket's terms
MASKED = 0x80


class Browser:
    """One tab."""

    def __init__(self) -> None:
        assert PROGRAM
        self._profile = Path(tempfile.mkdtemp(prefix="browser-"))
        port = free_port()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        options += [f"--remote-debugging-port={port}", f"--user-data-dir={self._profile}"]
        self._process = subprocess.Popen(
            [PROGRAM, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._received, self._asked = b"", 0
        self._socket = self._connect(eventually(lambda: self._tab(port), within=30))

    def _tab(self, port: int) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{port}/json") as answer:
                tabs = json.load(answer)
        except OSError:
            return ""
        return next((tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"), "")

    def _connect(self, url: str) -> socket.socket:
        where = urlsplit(url)
        connection = socket.create_connection((where.hostname, where.port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        connection.send(
            f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._received:
            self._received += connection.recv(4096)
        self._received = self._received.partition(b"\r\n\r\n")[2]
        return connection

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            self._received += self._socket.recv(65536)
        read, self._received = self._received[:size], self._received[size:]
        return read

    def call(self, method: str, **params: Any) -> Any:
        """The answer to one command of the protocol."""
        self._asked += 1
        said = json.dumps({"id": self._asked, "method": method, "params": params}).encode()
        size, mask = struct.pack(">Q", len(said)), os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(said))
        self._socket.sendall(bytes([TEXT, MASKED | 127]) + size + mask + masked)
        while True:
            length = self._read(2)[1]
            if length >= 126:
                form, width = (">H", 2) if length == 126 else (">Q", 8)
                (length,) = struct.unpack(form, self._read(width))
            heard = json.loads(self._read(length))
            if heard.get("id") == self._asked:
                return heard["result"]

    def run(self, script: str) -> Any:
        """What a line of JavaScript comes to in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        eventually(lambda: self.run("document.readyState") == "complete", within=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._profile, ignore_errors=True)
