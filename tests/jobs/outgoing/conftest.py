"""Servers, and clients that may reach them."""

import ssl
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
import trustme

from jobs.outgoing.addresses import Rules
from jobs.outgoing.client import Client
from tests.jobs.local_servers import WebServer, serving

LOOPBACK = Rules((ip_network("127.0.0.0/8"), ip_network("::1/128")))


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving(WebServer()) as server:
        yield server


@pytest.fixture
def client() -> Client:
    return Client(LOOPBACK)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client of that authority trusts."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
