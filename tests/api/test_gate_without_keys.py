"""With AUTH=off only this machine may ask, and no page of another site can make it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from settings import SettingError, load

TASK = {"name": "example_task", "payload": {"message": "hi"}}


def submit(client: FlaskClient, **environ: Any) -> TestResponse:
    return client.post("/api/v1/tasks/", json=TASK, environ_overrides=environ)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_this_machine_may_do_everything(client: FlaskClient, address: str, host: str) -> None:
    assert submit(client, REMOTE_ADDR=address, HTTP_HOST=host).status_code == 201


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "", "unix:"])
def test_other_machines_may_do_nothing(client: FlaskClient, address: str) -> None:
    assert submit(client, REMOTE_ADDR=address).status_code == 403
    for path in ("/health", "/docs", "/rq/", "/static/docs.js", "/api/v1/tasks/"):
        answer = client.get(path, environ_overrides={"REMOTE_ADDR": address})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::1", "a@127.0.0.1 b"]
)
def test_a_name_that_was_made_to_point_here_is_refused(client: FlaskClient, host: str) -> None:
    answer = submit(client, HTTP_HOST=host)

    assert answer.status_code in (400, 403)
    assert client.get("/api/v1/tasks/").json["items"] == []


@pytest.mark.parametrize(
    "browser",
    [
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://localhost:9999"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_write(client: FlaskClient, browser: dict[str, str]) -> None:
    task = submit(client).json["id"]
    cancel = client.post(f"/api/v1/tasks/{task}/cancel", environ_overrides=browser)

    assert submit(client, **browser).status_code == 403
    assert cancel.status_code == 403


def test_our_own_pages_can_write(client: FlaskClient) -> None:
    browser = {"HTTP_ORIGIN": "http://localhost", "HTTP_SEC_FETCH_SITE": "same-origin"}

    assert submit(client, **browser).status_code == 201


def test_a_forwarded_address_is_not_believed_without_a_proxy(client: FlaskClient) -> None:
    answer = submit(client, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="127.0.0.1")

    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_it_cannot_be_switched_off_on_an_address_that_others_reach(host: str) -> None:
    with pytest.raises(SettingError, match="AUTH may be off only on loopback"):
        load(
            {
                "DATABASE_URL": "postgres://x",
                "REDIS_URL": "redis://x",
                "AUTH": "off",
                "API_HOST": host,
            }
        )


def test_the_platforms_port_means_that_others_reach_it() -> None:
    with pytest.raises(SettingError, match="AUTH may be off only on loopback"):
        load(
            {"DATABASE_URL": "postgres://x", "REDIS_URL": "redis://x", "AUTH": "off", "PORT": "80"}
        )


def test_nothing_of_it_holds_when_auth_is_on(guarded: Flask) -> None:
    environ = {"REMOTE_ADDR": "192.0.2.1", "HTTP_HOST": "tasks.example"}

    assert guarded.test_client().get("/health", environ_overrides=environ).status_code == 200
