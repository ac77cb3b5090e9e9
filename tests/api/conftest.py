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


@pytest.fixture
def app(postgres_url: str, redis_url: str) -> Iterator[Flask]:
    """The application as `make run` has it: open to this machine."""
    catalog.load(SHIPPED)
    settings = Settings(database_url=postgres_url, redis_url=redis_url, auth=False)
    yield create_app(settings)
    database.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
