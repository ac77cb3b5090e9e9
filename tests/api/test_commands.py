"""An operator makes and ends keys at the command line; scripts take the token from its output."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from api import commands
from tasks import audit, database, key_store, keys
from tasks.audit import AuditFilter
from tasks.database import sessions
from tasks.sealing import Vault


@pytest.fixture(autouse=True)
def _database(postgres_url: str) -> Iterator[None]:
    database.open(postgres_url)
    yield
    database.close()


def run(*arguments: str) -> int:
    return commands.run(commands.read(arguments))


def create(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run("keys", "create", *arguments) == 0
    return capsys.readouterr().out.strip()


def valid_hashes() -> set[bytes]:
    with sessions.begin() as session:
        return set(key_store.valid(session))


def test_the_token_is_all_that_is_written_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = create(capsys, "billing", "tasks:submit", "tasks:read", "--queue", "mail")

    assert keys.well_formed(token)
    assert valid_hashes() == {keys.hashed(token)}


def test_a_key_is_rotated_expired_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    old = create(capsys, "billing", "admin", "--expires", "90d", "--rate", "5")
    key_id = old.split("_")[1]

    assert run("keys", "rotate", key_id, "--overlap", "1h") == 0
    new = capsys.readouterr().out.strip()
    assert valid_hashes() == {keys.hashed(old), keys.hashed(new)}
    assert run("keys", "expire", key_id, "7d") == 0
    assert run("keys", "revoke", key_id) == 0
    assert valid_hashes() == set()
    with sessions.begin() as session:
        entries = audit.page(session, AuditFilter(principal="cli"), 10)[0]
    assert [entry.action for entry in entries] == [
        "key.revoke",
        "key.expire",
        "key.rotate",
        "key.create",
    ]


def test_the_list_shows_every_key_and_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    token = create(capsys, "billing", "tasks:read", "--queue", "mail", "--queue", "sms")
    ended = create(capsys, "old", "admin")
    run("keys", "revoke", ended.split("_")[1])
    capsys.readouterr()

    assert run("keys", "list") == 0

    listed = capsys.readouterr().out
    assert "billing  tasks:read on mail,sms  valid  never used" in listed
    assert "old  admin  revoked" in listed
    assert token not in listed


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "x", "root"),
        ("create", "x"),
        ("create", "x", "admin", "--expires", "soon"),
        ("expire", "nobody0000", "1 day"),
        ("explode",),
    ],
)
def test_a_wrong_command_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit):
        run("keys", *arguments)

    assert "error:" in capsys.readouterr().err


def test_what_cannot_be_done_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "revoke", "nobody0000") == 1
    assert run("keys", "create", "x", "admin", "--queue", "mail") == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert "There is no API key with this id." in said.err
    assert "queue_names: A key with admin" in said.err


def test_a_payload_key_is_one_that_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("payload-key", "7") == 0

    Vault([capsys.readouterr().out.strip()])


@pytest.mark.parametrize("arguments", [["payload-key"], ["keys", "--help"]])
def test_some_commands_need_no_server(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api", *arguments], env={}, capture_output=True, check=False
    )

    assert done.returncode == 0


def test_the_web_process_refuses_to_start_without_a_key(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        env=environ | {"AUTH": "on"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "AUTH is on and no API key is valid; make one with `python -m api keys create NAME admin`."
    )
