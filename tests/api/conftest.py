"""A client of the whole application, on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from jobs.handlers import SHIPPED
from settings import Settings
from tasks import catalog, database
from tests.api.guarded import SECRET_KEY, make_key


@pytest.fixture
def app(postgres_url: str, redis_url: str) -> Iterator[Flask]:
    """The application as `make run` has it: open to this machine."""
    catalog.load(SHIPPED)
    settings = Settings(database_url=postgres_url, redis_url=redis_url, auth=False)
    app = create_app(settings)
    yield app
    app.extensions["waiting_room"].close()
    database.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def client_without_redis(postgres_url: str) -> Iterator[FlaskClient]:
    """A client of an application whose Redis does not answer."""
    catalog.load(SHIPPED)
    nowhere = "redis://127.0.0.1:1/0"
    app = create_app(Settings(database_url=postgres_url, redis_url=nowhere, auth=False))
    yield app.test_client()
    database.close()


@pytest.fixture
def guarded(postgres_url: str, redis_url: str) -> Iterator[Flask]:
    """The application as production has it: closed to whoever has no key."""
    catalog.load(SHIPPED)
    database.open(postgres_url)
    make_key("admin")  # without any it refuses to start
    database.close()
    yield create_app(
        Settings(database_url=postgres_url, redis_url=redis_url, auth=True, secret_key=SECRET_KEY)
    )
    database.close()
