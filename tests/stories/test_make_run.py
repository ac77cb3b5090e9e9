"""What a newcomer gets from `make run`, sentence by sentence."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from dev.processes import procfile
from tests.eventually import eventually
from tests.stories.newcomer import MAKE_RUN, PYTHON_DEV, Running, clone

BIN = Path(sys.prefix) / "bin"
LONG = ["a folder with a long name and spaces"] * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clone at a long path; its stories follow each other and share its data."""
    folder = clone(tmp_path_factory.mktemp("clone").joinpath(*LONG))
    yield folder
    shutil.rmtree(folder)


def test_one_screen_tells_where_everything_is(folder):
    with Running(folder, MAKE_RUN) as running:
        shown, env = running.shown(), running.dev_env()

        for place in ("/api/v1", "/docs", "/rq"):
            assert f"{running.api}{place}\n" in shown
        assert env["DATABASE_URL"] in shown and env["REDIS_URL"] in shown
        assert "AUTH=off" in shown
        assert stat.S_IMODE((folder / ".data/dev.env").stat().st_mode) == 0o600
        assert running.submit_and_wait("hello")["result"] == "hello"


def test_other_programs_reach_the_servers_through_dev_env(folder):
    with Running(folder) as running:
        env = running.dev_env()
        with closing(psycopg2.connect(env["DATABASE_URL"])) as connection:
            connection.autocommit = True

            def workers() -> int:
                cursor = connection.cursor()
                cursor.execute("SELECT count(*) FROM workers")
                return cursor.fetchone()[0]

            eventually(lambda: workers() == 1)
        info = subprocess.run(
            [BIN / "rq", "info", "--url", env["REDIS_URL"]], capture_output=True, text=True
        )
        assert "1 workers" in info.stdout, info
        heads = subprocess.run([BIN / "alembic", "current"], cwd=folder, capture_output=True)
        assert b"(head)" in heads.stdout


def test_ctrl_c_stops_everything_and_leaves_no_process(folder):
    with Running(folder, MAKE_RUN) as running:
        running.press_ctrl_c()

        assert running.left_nothing()
        assert running.shown().rstrip().splitlines()[-1].startswith(("Stopped.", "make:"))


def test_sigterm_stops_everything_and_leaves_no_process(folder):
    with Running(folder) as running:
        running.process.terminate()

        assert running.process.wait(timeout=60) == 0
        assert running.left_nothing()
        assert not (folder / ".data/dev.env").exists()


@pytest.mark.parametrize("command", [MAKE_RUN, PYTHON_DEV], ids=["of make", "of python"])
def test_a_kill_9_leaves_no_process_either(folder, command):
    with Running(folder, command) as running:
        running.process.kill()

        eventually(running.left_nothing, within=60)


def test_data_survives_a_kill_9_of_everything(folder):
    with Running(folder) as running:
        task = running.submit_and_wait("before")
        before = running.dev_env()
        running.kill_9_everything()

    with Running(folder) as running:
        assert running.get(f"/api/v1/tasks/{task['id']}") == task
        assert running.dev_env() == before
        assert running.submit_and_wait("after")["status"] == "succeeded"


def test_a_second_one_in_the_same_folder_is_refused_in_a_sentence(folder):
    with Running(folder) as running:
        second = Running(folder)

        assert second.process.wait(timeout=30) == 1
        assert f"is in use by process {running.process.pid}: stop it first." in second.shown()
        assert running.get("/health")["status"] == "ok"


def test_another_clone_runs_beside_it(folder, tmp_path):
    other_folder = clone(tmp_path / "other")

    with Running(folder) as one, Running(other_folder) as other:
        assert one.submit_and_wait("one")["result"] == "one"
        assert other.submit_and_wait("other")["result"] == "other"
        assert one.dev_env() != other.dev_env()


def test_data_dir_moves_the_data(folder, tmp_path):
    with Running(folder, DATA_DIR=str(tmp_path / "elsewhere")):
        assert (tmp_path / "elsewhere/dev.env").exists()
        assert (tmp_path / "elsewhere/postgres/data/PG_VERSION").exists()


def test_servers_that_are_named_are_used_and_none_is_started(
    folder, postgres, redis_server, redis_url, tmp_path
):
    url = postgres.create("make_run")

    with Running(folder, DATA_DIR=str(tmp_path), DATABASE_URL=url, REDIS_URL=redis_url) as running:
        assert running.dev_env()["DATABASE_URL"] == url
        assert running.submit_and_wait("hello")["status"] == "succeeded"
        assert not (tmp_path / "postgres").exists()
        assert not (tmp_path / "redis").exists()


def test_a_taken_port_is_refused_in_a_sentence_with_the_way_out(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = Running(folder, API_PORT=str(port))

        assert running.process.wait(timeout=30) == 1
        assert f"as in `API_PORT={port + 1} make run`." in running.shown()
        assert running.left_nothing()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("WORKER_LEASE", "soon", "WORKER_LEASE must be a number, not 'soon'."),
        ("API_HOST", "0.0.0.0", "AUTH may be off only on loopback, and API_HOST is '0.0.0.0'."),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(folder, name, value, sentence):
    running = Running(folder, **{name: value})

    assert running.process.wait(timeout=30) == 1
    assert running.shown().splitlines() == ["Stopped.", sentence]


@pytest.mark.parametrize("name", ["web", "worker", "scheduler"])
def test_a_process_that_was_killed_is_started_again(folder, name):
    with Running(folder) as running:
        os.kill(running.main_process(procfile()[name]), signal.SIGKILL)

        eventually(lambda: f"{name} ended with exit code -9; starting it" in running.shown())
        eventually(lambda: answers(running), within=30)
        assert running.submit_and_wait("again")["status"] == "succeeded"


def test_a_process_that_ends_at_once_ends_the_rest_and_is_named(folder, tmp_path):
    broken = clone(tmp_path)
    (broken / "scheduler/__main__.py").write_text("raise SystemExit(3)")
    running = Running(broken)

    assert running.process.wait(timeout=60) == 1
    assert running.shown().splitlines()[-1] == (
        "scheduler ended with exit code 3; its output is above."
    )
    assert running.left_nothing()


def test_honcho_starts_the_procfile_with_the_servers_alone(folder):
    with Running(folder, [*PYTHON_DEV, "servers"]) as servers:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        honcho = Running(folder, [str(BIN / "honcho"), "start"], PATH=path)
        try:
            eventually(lambda: answers(honcho), within=60)
            assert honcho.submit_and_wait("hello")["status"] == "succeeded"
        finally:
            os.killpg(honcho.process.pid, signal.SIGTERM)
            honcho.process.wait(timeout=60)
            honcho.kill_9_everything()
        assert servers.process.poll() is None


def answers(running: Running) -> bool:
    try:
        return running.get("/health")["status"] == "ok"
    except OSError:
        return False
