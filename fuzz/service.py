"""A whole service on servers of its own, started to be attacked and stopped when that is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from alembic import command
from alembic.config import Config

from dev.servers import Postgres, Redis, free_port
from tasks.sealing import new_key

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds a process may take to start or to stop


@dataclass
class Service:
    """Where it is, and how to get in."""

    url: str
    token: str  # of an admin
    environ: Mapping[str, str]
    log: Path  # of the web process
    worker_log: Path

    def make_key(self, *scopes: str) -> str:
        """A new key's token."""
        return run(self.environ, "api", "keys", "create", "fuzz", *scopes).strip()


@contextmanager
def service(*, works: bool = True, **settings: str) -> Iterator[Service]:
    """Run web processes and, if it is to work, a worker and a scheduler, with AUTH on."""
    folder = Path(tempfile.mkdtemp(prefix="service-"))
    with (
        Postgres(folder / "postgres", temporary=True) as postgres,
        Redis(folder / "redis", temporary=True) as redis,
    ):
        port = free_port()
        environ = {
            **os.environ,
            "DATABASE_URL": postgres.create("tasks"),
            "REDIS_URL": redis.url,
            "DATA_DIR": str(folder / "data"),
            "API_PORT": str(port),
            "SECRET_KEY": new_key(),
            "PAYLOAD_KEYS": f"1:{new_key()}",
            **settings,
        }
        migrate(environ["DATABASE_URL"])
        token = run(environ, "api", "keys", "create", "admin", "admin").strip()
        found = Service(
            f"http://127.0.0.1:{port}", token, environ, folder / "web.log", folder / "worker.log"
        )
        with started(environ, "api", found.log) as web:
            wait_until_healthy(found.url, web)
            with ExitStack() as others:
                if works:
                    others.enter_context(started(environ, "jobs", found.worker_log))
                    scheduler_log = folder / "scheduler.log"
                    others.enter_context(started(environ, "scheduler", scheduler_log))
                yield found


def migrate(url: str) -> None:
    alembic = Config()
    alembic.set_main_option("script_location", str(ROOT / "migrations"))
    alembic.set_main_option(
        "sqlalchemy.url", url.replace("postgresql://", "postgresql+psycopg2://")
    )
    command.upgrade(alembic, "head")


def run(environ: Mapping[str, str], module: str, *arguments: str) -> str:
    """What a command of ours writes to standard output."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environ,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@contextmanager
def started(
    environ: Mapping[str, str], module: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=environ,
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_healthy(url: str, web: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while web.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the web process did not become healthy")
