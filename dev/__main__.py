"""Everything on one machine in one command: servers, migrations, web, worker and scheduler.

`python -m dev` is what `make run` does; `python -m dev servers` starts PostgreSQL and Redis alone.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.error import URLError
from urllib.request import urlopen

import settings
from dev import processes
from dev.guard import end_with_parent
from dev.labelled import say
from dev.leash import Leash
from dev.servers import Postgres, Redis, ServerError, is_free
from settings import SettingError, Settings

HERE = {  # what differs from production
    "AUTH": "off",
    "LOG_FORMAT": "text",
    "HTTP_ALLOW_NETWORKS": "127.0.0.0/8,::1/128",  # http.request may call what runs here
}
DATABASE = "tasks"
END = "  Ctrl-C stops everything."
GRACE = 15  # seconds a process gets beyond its own grace before it is killed


class Failed(Exception):
    """It cannot go on; the message says why in one sentence."""


def main(only_servers: bool) -> int:
    if "MAKELEVEL" in os.environ:
        end_with_parent()  # a kill -9 of make is meant for us
    try:
        with ExitStack() as stack:
            stop_by_signal(stack)
            run(stack, only_servers)
    except (Failed, ServerError, SettingError) as problem:
        say(f"{problem}")
        return 1
    return 0


def run(stack: ExitStack, only_servers: bool) -> None:
    """Start one after the other; `stack` stops them in reverse when this ends."""
    environ = environment()
    data = Path(environ.get("DATA_DIR") or ".data").resolve()
    data.mkdir(parents=True, exist_ok=True)
    environ["DATA_DIR"] = str(data)
    check(environ, only_servers)

    environ |= start_servers(stack, environ, data)
    write_dev_env(stack, environ, data / "dev.env")
    migrate(environ)
    if only_servers:
        say(addresses_of_servers(environ, data) + f"\n{END}\n")
        while True:
            signal.pause()

    chosen = settings.load(environ)
    running = start_processes(stack, environ, chosen)
    wait_until_healthy(running, chosen)
    say(screen(environ, chosen, data))
    wait_for_an_end(running)


def environment() -> dict[str, str]:
    """The environment and `.env`, less PORT, which is for platforms."""
    environ = {**HERE, **settings.env_files([".env"]), **os.environ}
    environ.pop("PORT", None)
    return environ


def check(environ: Mapping[str, str], only_servers: bool) -> None:
    """Refuse a wrong setting before anything is started."""
    chosen = settings.load({"DATABASE_URL": "postgres://", "REDIS_URL": "redis://", **environ})
    if only_servers:
        return
    deadline = time.monotonic() + 5  # one that was just killed may still be on its way out
    while not is_free(chosen.api_port, chosen.api_host):
        if time.monotonic() > deadline:
            raise Failed(
                f"Port {chosen.api_port} is taken: stop what uses it, or choose another, "
                f"as in `API_PORT={chosen.api_port + 1} make run`."
            )
        time.sleep(0.1)


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
    names = ("DATABASE_URL", "REDIS_URL", "AUTH")
    path.write_text("".join(f"{name}={shlex.quote(environ[name])}\n" for name in names))
    stack.callback(path.unlink, missing_ok=True)


def migrate(environ: Mapping[str, str]) -> None:
    say("Migrating …")
    command = processes.procfile()[processes.RELEASE]
    with processes.start(processes.RELEASE, command, environ) as release:
        if release.wait(timeout=600) != 0:
            raise Failed("The migration failed; its output is above.")


def start_processes(
    stack: ExitStack, environ: Mapping[str, str], chosen: Settings
) -> dict[str, Leash]:
    running: dict[str, Leash] = {}
    stack.callback(stop_processes, running)
    for name, command in processes.procfile().items():
        if name != processes.RELEASE:
            grace = chosen.shutdown_grace + GRACE
            running[name] = processes.start(name, command, environ, grace)
    return running


def stop_processes(running: Mapping[str, Leash]) -> None:
    """Ask all at once, then wait for each; a second signal grants no more grace."""

    def hurry(number: int, frame: FrameType | None) -> None:
        for leash in running.values():
            leash.hurry()

    say("Stopping …")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hurry)
    for leash in running.values():
        leash.ask_to_stop()
    for leash in running.values():
        leash.stop()


def wait_until_healthy(running: Mapping[str, Leash], chosen: Settings) -> None:
    deadline = time.monotonic() + 60
    while not answers(f"http://{chosen.api_host}:{chosen.api_port}/health"):
        wait_for_an_end(running, timeout=0.1)
        if time.monotonic() > deadline:
            raise Failed("The API did not become healthy within a minute; its output is above.")


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def wait_for_an_end(running: Mapping[str, Leash], timeout: float | None = None) -> None:
    """Wait until a process ends by itself, which none should."""
    select.select(list(running.values()), [], [], timeout)
    for name, leash in running.items():
        if (code := leash.poll()) is not None:
            raise Failed(f"{name} ended with exit code {code}; its output is above.")


def stop_by_signal(stack: ExitStack) -> None:
    """Ctrl-C, SIGTERM and a closed terminal unwind the stack; nothing is left behind."""

    def unwind(number: int, frame: FrameType | None) -> NoReturn:
        for another in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(another, signal.SIG_IGN)
        raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, unwind)
    stack.callback(say, "Stopped.")


def screen(environ: Mapping[str, str], chosen: Settings, data: Path) -> str:
    api = f"http://{chosen.api_host}:{chosen.api_port}"
    lines = [
        "",
        f"  API         {api}/api/v1",
        f"  Docs        {api}/docs",
        f"  Dashboard   {api}/rq",
        addresses_of_servers(environ, data),
    ]
    if not chosen.auth:
        lines += [
            "  AUTH=off: whoever reaches this port may do everything. Only this machine does.",
            "",
        ]
    task = '{"name": "example_task", "payload": {"message": "hello"}}'
    lines += [
        "  Try it:",
        f"  curl -s {api}/api/v1/tasks/ -H 'Content-Type: application/json' \\",
        f"       -d '{task}'",
        "",
        END,
        "",
    ]
    return "\n".join(lines)


def addresses_of_servers(environ: Mapping[str, str], data: Path) -> str:
    lines = [
        f"  PostgreSQL  {environ['DATABASE_URL']}",
        f"  Redis       {environ['REDIS_URL']}",
        f"              (as DATABASE_URL and REDIS_URL in {shown(data / 'dev.env')})",
        "",
    ]
    return "\n".join(lines)


def shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["servers"]):
        sys.exit("usage: python -m dev [servers]")
    sys.exit(main(only_servers=bool(sys.argv[1:])))
