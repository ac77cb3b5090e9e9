"""Every knob of the service, read once from the environment into one frozen object.

A setting is one line of `Settings`: its name in the environment is the field's in capitals, its type says how
it is read, and its phrase appears in `.env.example` and in the README's table (`python -m dev.configuration`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
Days = Mapping[str, float]

FINISHED_STATUSES = ("succeeded", "failed", "cancelled")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ENV_FILES = (".env", ".data/dev.env")  # read below the environment, the first one wins


class SettingError(SystemExit):
    """A setting is missing or wrong: uncaught, it ends the process with one sentence that names it."""


def cpu_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def knob(
    default: Any,
    meaning: str,
    *,
    begins: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    shown: str | None = None,
    secret: bool = False,
    read: Callable[[str], object] | None = None,
) -> Any:
    """Describe one setting: `begins` opens a section, `shown` words a default that is computed."""
    described = {
        "default": default,
        "meaning": meaning,
        "begins": begins,
        "at_least": at_least,
        "at_most": at_most,
        "shown": shown,
        "secret": secret,
        "read": read,
    }
    if callable(default):
        return field(default_factory=default, metadata=described, repr=not secret)
    return field(default=default, metadata=described, repr=not secret)


def database_url(text: str) -> str:
    """Name the psycopg2 driver, whatever spelling of PostgreSQL's scheme was given."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg2"}:
        raise ValueError("a postgresql:// or postgres:// URL")
    return f"postgresql+psycopg2://{rest}"


def one_of_schemes(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise ValueError(f"a URL that starts with {' or '.join(f'{s}://' for s in schemes)}")
        return text

    return read


def secret_key(text: str) -> str:
    if len(text) < 32:
        raise ValueError("32 characters or more, drawn by chance")
    return text


def payload_keys(text: str) -> tuple[str, ...]:
    from tasks.sealing import Vault  # only it knows what a key is

    keys = items(text)
    Vault(keys)
    return keys


def days_per_status(text: str) -> Days:
    """Read `7`, or `succeeded=7,failed=30`; a status left out keeps its default."""
    expected = f"a number of days, or a list such as {RETENTION_TEXT}"
    days = dict(RETENTION)
    for part in text.split(","):
        status, separator, number = part.strip().rpartition("=")
        if status not in FINISHED_STATUSES if separator else "," in text:
            raise ValueError(expected)
        try:
            days |= dict.fromkeys([status] if separator else FINISHED_STATUSES, float(number))
        except ValueError:
            raise ValueError(expected) from None
    if not all(0 <= number < 36500 for number in days.values()):
        raise ValueError(expected)
    return days


def importable_modules(text: str) -> tuple[str, ...]:
    """Look for the modules without running them: they are imported later, by who needs them."""
    for name in items(text):
        try:
            found = find_spec(name)
        except (ImportError, ValueError):
            found = None
        if not found:
            raise ValueError(f"names of modules that can be imported, and {name} cannot")
    return items(text)


RETENTION_TEXT = "succeeded=7,failed=30,cancelled=7"
RETENTION: Days = {"succeeded": 7, "failed": 30, "cancelled": 7}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The configuration of one process; entry points read it and pass on what is needed."""

    # fmt: off
    database_url: str = knob("", "PostgreSQL, the record of every task; required", begins="Servers", secret=True, read=database_url)
    redis_url: str = knob("", "Redis, which carries jobs to workers; required", secret=True, read=one_of_schemes("redis", "rediss", "unix"))
    redis_tls_verify: bool = knob(True, "off accepts a self-signed certificate on rediss://, as Heroku's")

    api_host: str = knob("127.0.0.1", "address the API listens on; 0.0.0.0 when the platform sets PORT", begins="HTTP")
    api_port: int = knob(8000, "port the API listens on; the platform's PORT wins", at_least=0, at_most=65535)
    web_processes: int = knob(2, "web processes", at_least=1, at_most=256)
    web_threads: int = knob(512, "connections of one web process, each with a thread while it asks; half may wait for a task", at_least=1, at_most=4096)
    max_body_bytes: int = knob(10_485_760, "largest request body", at_least=1024)
    max_payload_bytes: int = knob(262_144, "largest payload of a task, as JSON", at_least=2)
    max_result_bytes: int = knob(1_048_576, "largest result of a task, as JSON; a larger one fails the attempt", at_least=2)
    idempotency_key_hours: float = knob(24, "hours an Idempotency-Key is remembered", at_least=0)

    auth: bool = knob(True, "off lets everybody do everything; refused unless API_HOST is loopback", begins="Access")
    secret_key: str = knob("", "signs browser sessions, 32 characters or more; without it nobody signs in to the dashboard", secret=True, read=secret_key)
    payload_keys: tuple[str, ...] = knob((), "keys that encrypt secret payload fields, newest first; `python -m api payload-key` makes one", secret=True, read=payload_keys)
    submit_rate: float = knob(0, "tasks one API key may submit per second, ten seconds' worth at once; 0 is no limit", at_least=0)
    max_queue_backlog: int = knob(0, "undelivered tasks of one queue name above which it takes no more; 0 is no limit", at_least=0)
    trusted_proxies: int = knob(0, "reverse proxies in front, believed about who asks and how; 1 when the platform sets PORT", at_least=0, at_most=10)
    http_allow_networks: tuple[Network, ...] = knob((), "private networks http.request may reach, such as 10.0.0.0/8")

    task_modules: tuple[str, ...] = knob((), "modules with further kinds of task, such as my_app.tasks", begins="Tasks", read=importable_modules)
    default_task_timeout: float = knob(300, "seconds one attempt may take when its kind does not say", at_least=0.1)
    max_retry_attempts: int = knob(3, "retries after the first attempt when its kind does not say", at_least=0)
    max_crashes: int = knob(3, "crashes of its process after which a task fails", at_least=1)
    smtp_url: str = knob("", "mail server of email.send: smtp://user:password@host:587 insists on STARTTLS; smtps:// and smtp+plain:// exist", secret=True, read=one_of_schemes("smtp", "smtps", "smtp+plain"))
    smtp_from: str = knob("", "sender of email.send, such as Tasks <tasks@example.com>")

    worker_concurrency: int = knob(cpu_count, "child processes of one worker", shown="number of CPUs", begins="Workers", at_least=1, at_most=1024)
    worker_threads: int = knob(32, "threads per child process for kinds that mostly wait", at_least=1, at_most=4096)
    worker_queues: tuple[str, ...] = knob((), "queue names to serve; empty serves all")
    queue_strategy: Literal["strict", "weighted"] = knob("strict", "strict: most urgent first; weighted: low is never starved")
    worker_max_tasks: int = knob(0, "tasks after which a child process is replaced; 0 never", at_least=0)
    worker_max_memory: int = knob(0, "megabytes above which a child process is replaced; 0 never", at_least=0)
    worker_lease: float = knob(15, "seconds of silence after which a worker is presumed dead", at_least=0.5, at_most=3600)
    shutdown_grace: float = knob(25, "seconds running tasks get to finish at SIGTERM", at_least=0)

    retention_days: Days = knob(lambda: RETENTION, "days a finished task is kept, per status", shown=RETENTION_TEXT, begins="Keeping", read=days_per_status)
    queue_stats_days: float = knob(7, "days the one-minute statistics of queues are kept", at_least=0)
    audit_days: float = knob(90, "days the audit is kept; the database lets nobody delete what is younger than 7", at_least=7, at_most=36500)
    finished_jobs_ttl: int = knob(600, "seconds RQ's tools still show a finished job", at_least=0)
    data_dir: Path = knob(Path(".data"), "folder for files of this machine")
    spool_dir: Path = knob(lambda: Path(), "folder where a worker saves outcomes while PostgreSQL is away", shown="DATA_DIR/spool")

    log_format: Literal["json", "text"] = knob("json", "json for machines, text for people", begins="Logs")
    log_level: Literal["debug", "info", "warning", "error"] = knob("info", "least level that is logged")
    # fmt: on

    def __post_init__(self) -> None:
        if self.spool_dir == Path():
            object.__setattr__(self, "spool_dir", self.data_dir / "spool")


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment, below which `ENV_FILES` stand, or raise `SettingError`."""
    if environ is os.environ:
        environ = {**env_files(), **environ}
    environ = {name: value.strip() for name, value in environ.items()} | platform_port(environ)
    types = get_type_hints(Settings)
    given: dict[str, Any] = {
        knob.name: value_of(knob, types[knob.name], text)
        for knob in fields(Settings)
        if (text := environ.get(knob.name.upper()))
    }
    settings = Settings(**given)
    for required in ("database_url", "redis_url"):
        if not getattr(settings, required):
            raise SettingError(
                f"{required.upper()} is not set; `make run` starts a server and prints one."
            )
    if not settings.auth and settings.api_host not in LOOPBACK:
        raise SettingError(
            f"AUTH may be off only on loopback, and API_HOST is {settings.api_host!r}."
        )
    return settings


def platform_port(environ: Mapping[str, str]) -> dict[str, str]:
    """Listen where the platform says; honcho sets PORT for every process and means nothing by it."""
    if not environ.get("PORT") or "HONCHO_PROCESS_NAME" in environ:
        return {}
    return {
        "API_PORT": environ["PORT"],
        "API_HOST": environ.get("API_HOST") or "0.0.0.0",  # noqa: S104  # Heroku's router
        "TRUSTED_PROXIES": environ.get("TRUSTED_PROXIES") or "1",
    }


def env_files(names: Iterable[str] = ENV_FILES) -> dict[str, str]:
    """Read the `NAME=value` lines of these files as far as they exist; the first one wins."""
    found: dict[str, str] = {}
    for path in map(Path, reversed(list(names))):
        lines = path.read_text().splitlines() if path.is_file() else []
        pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
        found |= {
            name.strip(): value.strip().strip("'\"") for name, found_, value in pairs if found_
        }
    return found


def value_of(knob: Field[Any], kind: Any, text: str) -> object:
    """Read one setting as its type says."""
    try:
        value = (knob.metadata["read"] or reader(kind))(text)
        if not within(value, knob.metadata["at_least"], knob.metadata["at_most"]):
            raise ValueError(bounds(knob))
    except ValueError as problem:
        shown = "" if knob.metadata["secret"] else f", not {text!r}"
        raise SettingError(f"{knob.name.upper()} must be {problem}{shown}.") from None
    return value


def within(value: Any, at_least: float | None, at_most: float | None) -> bool:
    return (at_least is None or value >= at_least) and (at_most is None or value <= at_most)


def bounds(knob: Field[Any]) -> str:
    at_least, at_most = knob.metadata["at_least"], knob.metadata["at_most"]
    return f"{at_least} or more" if at_most is None else f"from {at_least} to {at_most}"


def reader(kind: Any) -> Callable[[str], object]:
    if get_origin(kind) is Literal:
        return one_of(get_args(kind))
    return READERS[kind]


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(" or ".join(choices))
        return text.lower()

    return read


def on_or_off(text: str) -> bool:
    return one_of(("on", "off"))(text) == "on"


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise ValueError("a number") from None
    if found != found or abs(found) == float("inf"):
        raise ValueError("a number")
    return found


def items(text: str) -> tuple[str, ...]:
    return tuple(item for part in text.split(",") if (item := part.strip()))


def networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(item) for item in items(text))
    except ValueError:
        raise ValueError("networks such as 10.0.0.0/8, separated by commas") from None


READERS: dict[Any, Callable[[str], object]] = {
    bool: on_or_off,
    int: whole_number,
    float: number,
    str: str,
    Path: Path,
    tuple[str, ...]: items,
    tuple[Network, ...]: networks,
}
