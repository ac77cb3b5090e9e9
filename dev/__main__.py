"""Everything on one machine in one command: servers, migrations, web, worker and scheduler.

`python -m dev` is what `make run` does; `python -m dev servers` starts PostgreSQL and Redis alone.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.error import URLError
from urllib.request import urlopen

import settings
from dev import processes, screen
from dev.guard import end_with_parent
from dev.labelled import say
from dev.processes import Formation, ProcessFailed
from dev.servers import Postgres, Redis, ServerError, is_free
from settings import SettingError, Settings
from tasks.sealing import new_key

HERE = {  # what differs from production
    "AUTH": "off",
    "LOG_FORMAT": "text",
    "HTTP_ALLOW_NETWORKS": "127.0.0.0/8,::1/128",  # http.request may call what runs here
}
DATABASE = "tasks"
GRACE = 15  # seconds a process gets beyond its own grace before it is killed
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Refused(Exception):
    """It cannot begin; the message says why in one sentence."""


def main(only_servers: bool) -> int:
    if "MAKELEVEL" in os.environ:
        end_with_parent()  # a kill -9 of make is meant for us
    try:
        with ExitStack() as stack:
            unwind_at_signals(stack)
            run(stack, only_servers)
    except (Refused, ServerError, ProcessFailed, SettingError) as problem:
        say(str(problem))
        return 1
    return 0


def run(stack: ExitStack, only_servers: bool) -> None:
    """Start one after the other; the stack stops them in reverse."""
    environ = environment()
    data = Path(environ.get("DATA_DIR") or ".data").resolve()
    data.mkdir(parents=True, exist_ok=True)
    environ["PAYLOAD_KEYS"] = environ.get("PAYLOAD_KEYS") or payload_key(data / "payload-key")
    environ["DATA_DIR"] = str(data)
    refuse_wrong_settings(environ, only_servers)

    environ |= start_servers(stack, environ, data)
    write_dev_env(stack, environ, data / "dev.env")
    say("Migrating …")
    processes.migrate(environ)
    if only_servers:
        say(screen.servers_only(environ, data))
        while True:
            signal.pause()

    chosen = settings.load(environ)
    formation = start_processes(stack, environ, chosen)
    wait_until_healthy(formation, chosen)
    say(screen.everything(environ, chosen, data))
    while True:
        formation.start_again_what_ends()


def environment() -> dict[str, str]:
    """The environment and `.env`, less PORT, which is for platforms."""
    environ = {**HERE, **settings.env_files([".env"]), **os.environ}
    environ.pop("PORT", None)
    return environ


def refuse_wrong_settings(environ: Mapping[str, str], only_servers: bool) -> None:
    """Say it before anything is started."""
    chosen = settings.load({"DATABASE_URL": "postgres://", "REDIS_URL": "redis://", **environ})
    if only_servers:
        return
    deadline = time.monotonic() + 5  # one that was just killed may still be on its way out
    while not is_free(chosen.api_port, chosen.api_host):
        if time.monotonic() > deadline:
            raise Refused(
                f"Port {chosen.api_port} is taken: stop what uses it, or choose another, "
                f"as in `API_PORT={chosen.api_port + 1} make run`."
            )
        time.sleep(0.1)


def payload_key(path: Path) -> str:
    """The key that seals secret fields of payloads here: as lasting as the data."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"1:{new_key()}")
    return path.read_text()


def start_servers(stack: ExitStack, environ: Mapping[str, str], data: Path) -> dict[str, str]:
    """Start the servers that the environment does not name, and return the URLs of both."""
    urls = {name: environ[name] for name in ("DATABASE_URL", "REDIS_URL") if environ.get(name)}
    if "DATABASE_URL" not in urls:
        postgres = Postgres(data / "postgres")
        stack.callback(postgres.close)
        say("Starting PostgreSQL …")
        postgres.start()
        urls["DATABASE_URL"] = postgres.create(DATABASE)
    if "REDIS_URL" not in urls:
        redis = Redis(data / "redis")
        stack.callback(redis.close)
        say("Starting Redis …")
        urls["REDIS_URL"] = redis.start().url
    return urls


def write_dev_env(stack: ExitStack, environ: Mapping[str, str], path: Path) -> None:
    """Tell other programs where the servers are, as long as they are there."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    names = ("DATABASE_URL", "REDIS_URL", "AUTH", "PAYLOAD_KEYS")
    path.write_text("".join(f"{name}={shlex.quote(environ[name])}\n" for name in names))
    stack.callback(path.unlink, missing_ok=True)


def start_processes(stack: ExitStack, environ: Mapping[str, str], chosen: Settings) -> Formation:
    formation = Formation(environ, chosen.shutdown_grace + GRACE)

    def stop() -> None:
        say("Stopping …")
        at_signals(formation.hurry)  # whoever asks twice will not wait
        formation.stop()

    stack.callback(stop)
    formation.start()
    return formation


def wait_until_healthy(formation: Formation, chosen: Settings) -> None:
    deadline = time.monotonic() + 60
    while not answers(f"http://{chosen.api_host}:{chosen.api_port}/health"):
        formation.refuse_an_end(within=0.1)
        if time.monotonic() > deadline:
            raise ProcessFailed("The API was not healthy within a minute; its output is above.")


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def unwind_at_signals(stack: ExitStack) -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal end the story, with everything put away."""

    def unwind() -> NoReturn:
        at_signals(lambda: None)
        raise SystemExit(0)

    stack.callback(say, "Stopped.")
    at_signals(unwind)


def at_signals(act: Callable[[], object]) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        act()

    for number in ENDING:
        signal.signal(number, handle)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["servers"]):
        sys.exit("usage: python -m dev [servers]")
    sys.exit(main(only_servers=bool(sys.argv[1:])))
