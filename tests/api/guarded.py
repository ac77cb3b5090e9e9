"""The application behind its gate, and keys to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tasks import key_actions
from tasks.actions import Client

SECRET_KEY = "a secret of this test, long enough"
MAKER = Client("tests")


def make_key(*scopes: str, queues: Iterable[str] = (), **terms: Any) -> str:
    """A new key's token."""
    return key_actions.create(MAKER, "a test", scopes, queue_names=queues, **terms)[1]


class Caller:
    """Somebody with a key, or without."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self.client, self.token = client, token

    def ask(self, method: str, path: str, **request: Any) -> TestResponse:
        headers = dict(request.pop("headers", {}))
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return self.client.open(path, method=method, headers=headers, **request)

    def get(self, path: str, **request: Any) -> TestResponse:
        return self.ask("GET", path, **request)

    def post(self, path: str, **request: Any) -> TestResponse:
        return self.ask("POST", path, **request)
