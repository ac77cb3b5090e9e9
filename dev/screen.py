"""The one screen that tells where everything is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from settings import Settings

END = "  Ctrl-C stops everything."
TASK = '{"name": "example_task", "payload": {"message": "hello"}}'


def everything(environ: Mapping[str, str], chosen: Settings, data: Path) -> str:
    api = f"http://{chosen.api_host}:{chosen.api_port}"
    open_to_all = (
        [] if chosen.auth else ["  AUTH=off: every program on this machine may use it.", ""]
    )
    lines = [
        "",
        f"  API         {api}/api/v1",
        f"  Docs        {api}/docs",
        f"  Dashboard   {api}/rq",
        *of_servers(environ, data),
        "",
        *open_to_all,
        "  Try it:",
        f"  curl -s {api}/api/v1/tasks/ -H 'Content-Type: application/json' \\",
        f"       -d '{TASK}'",
        "",
        END,
        "",
    ]
    return "\n".join(lines)


def servers_only(environ: Mapping[str, str], data: Path) -> str:
    return "\n".join(["", *of_servers(environ, data), "", END, ""])


def of_servers(environ: Mapping[str, str], data: Path) -> list[str]:
    return [
        f"  PostgreSQL  {environ['DATABASE_URL']}",
        f"  Redis       {environ['REDIS_URL']}",
        f"              (DATABASE_URL and REDIS_URL in {shown(data / 'dev.env')})",
    ]


def shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
