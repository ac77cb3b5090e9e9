"""Send load through the client program and take in what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLIENT = Path(__file__).with_name("client.py")


class Refused(Exception):
    """An answer was not 2xx; a rate of refusals is no rate."""


@dataclass(frozen=True)
class Answers:
    """What the client saw."""

    answers: int = 0
    begun: float = 0.0  # on the monotonic clock of this machine
    seconds: float = 0.0
    rate: float = 0.0  # answers per second
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_seconds: float = 0.0  # of the client itself
    statuses: dict[str, int] = field(default_factory=dict)


def post(port: int, request: dict[str, Any], *, connections: int = 16, **order: float) -> Answers:
    """Post one request again and again: for `seconds`, so many `requests`, or at a `rate`."""
    asked = {"port": port, "connections": connections, **request, **order}
    with subprocess.Popen(
        [sys.executable, "-I", "-S", CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            out, error = client.communicate(json.dumps(asked))
        except BaseException:
            client.kill()
            raise
    if client.returncode != 0:
        raise RuntimeError(f"The load client failed: {error[-1000:]}")
    seen = Answers(**json.loads(out))
    if refused := {code: n for code, n in seen.statuses.items() if not code.startswith("2")}:
        raise Refused(f"Refused submissions, by status: {refused}")
    return seen
