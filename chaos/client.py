"""One client's conversation with the service over one kept-alive connection."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from chaos.ledger import Answer

TIMEOUT = 15.0  # seconds a client waits; the service is to answer much sooner


class Client:
    """Asks, and tells what was answered; it never raises and never repeats by itself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        text = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json", **(headers or {})}
        at, began = time.time(), time.monotonic()

        def answer(status: int | None, **more: Any) -> Answer:
            return Answer(at, time.monotonic() - began, status, **more)

        try:
            if self._connection.sock is None:
                self._connection.connect()
        except OSError as problem:
            self.close()
            return answer(None, reached=False, text=f"{problem}")
        try:
            self._connection.request(method, path, text, head)
            reply = self._connection.getresponse()
            data = reply.read()
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            return answer(None, text=f"{type(problem).__name__}: {problem}")
        return answer(
            reply.status,
            body=read(data),
            retry_after=reply.headers.get("Retry-After"),
            replayed=reply.headers.get("Idempotency-Replayed") == "true",
            text="" if reply.status < 400 else data[:500].decode(errors="replace"),
        )

    def close(self) -> None:
        self._connection.close()


def read(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
