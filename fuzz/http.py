"""Schemathesis against the served OpenAPI document: every check and operation, several callers.

No worker runs meanwhile, so that no made-up `http.request` leaves this machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from fuzz.service import ROOT, Service, service

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
PROGRAM = Path(sys.prefix) / "bin" / "st"
COUNT = re.compile(r"(\d+) generated")
READER = ("tasks:read", "tasks:submit")


def attack(found: Service, examples: int, *, token: str | None, **options: str) -> int:
    """Run all phases once and return how many cases were tried; `SystemExit` on any finding."""
    key = ["--header", f"Authorization: Bearer {token}"] if token else []
    command: list[str | Path] = [
        *(PROGRAM, "--config-file", CONFIGURATION, "run", f"{found.url}/openapi.json"),
        *("--checks", "all", "--max-examples", str(examples), "--continue-on-failure"),
        *("--no-color", "--generation-database", "none", "--request-timeout", "60", *key),
    ]
    for name, value in options.items():
        command += [f"--{name}", value] if value else [f"--{name}"]
    if token is None:  # the document itself is behind a key
        command[4] = document(found)
        command += ["--url", found.url]
    done = subprocess.run(
        command,
        cwd=found.log.parent,  # it leaves files behind
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    count = COUNT.search(done.stdout)
    if done.returncode or not count:
        sys.exit(done.stdout)
    return int(count[1])


def document(found: Service) -> str:
    """The OpenAPI document in a file."""
    asked = Request(f"{found.url}/openapi.json", headers={"Authorization": f"Bearer {found.token}"})
    with urlopen(asked) as answer:
        path = found.log.with_name("openapi.json")
        path.write_bytes(answer.read())
    return str(path)


def errors_in(log: Path) -> list[str]:
    """What the web processes logged as an error, which no request should make them do."""
    return [line for line in log.read_text().splitlines() if '"level":"error"' in line]


def main(examples: int) -> None:
    with service(works=False) as found:
        callers = {
            "an admin": found.token,
            "a reader": found.make_key(*READER),
            "nobody": None,
        }
        total = 0
        for who, token in callers.items():
            cases = attack(found, examples, token=token)
            total += cases
            print(f"Schemathesis as {who}: {cases:,} cases, nothing found", flush=True)
        if logged := errors_in(found.log):
            sys.exit("\n".join(logged))
    print(f"Schemathesis: {total:,} cases, 0 server errors, 0 findings")


if __name__ == "__main__":
    main(examples=int(sys.argv[1]) if sys.argv[1:] else 100)
