"""TLS verifies the name in the URL, whatever address the connection is pinned to."""

import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
import trustme

from jobs.outgoing.addresses import Rules
from jobs.outgoing.client import Client, Request
from jobs.outgoing.errors import NoAnswer
from jobs.outgoing.target import parse
from tests.jobs.local_servers import Reply, WebServer, serving

LOOPBACK = Rules((ip_network("127.0.0.0/8"),))


@contextmanager
def serving_as(certificate, name="service.example"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    asked_for = []
    context.sni_callback = lambda connection, name, context: asked_for.append(name)
    with serving(WebServer(context, name)) as server:
        server.asked_for = asked_for
        yield server


def here(trusting):
    """A client that finds every name on this machine."""
    return Client(LOOPBACK, tls=trusting, lookup=lambda host, port: [ip_address("127.0.0.1")])


def get(url):
    return Request("GET", parse(url))


def test_a_name_is_verified_though_its_address_is_called(authority, trusting):
    with serving_as(authority.issue_cert("service.example")) as server:
        assert here(trusting).send(get(server.url), seconds=5).status == 200

    assert server.asked_for == ["service.example"]


def test_a_certificate_for_another_name_is_not_trusted(authority, trusting):
    with (
        serving_as(authority.issue_cert("other.example")) as server,
        pytest.raises(NoAnswer, match="its certificate is not trusted: Hostname mismatch"),
    ):
        here(trusting).send(get(server.url), seconds=5)

    assert not server.received


def test_a_certificate_for_the_address_does_not_stand_for_the_name(authority, trusting):
    with (
        serving_as(authority.issue_cert("127.0.0.1")) as server,
        pytest.raises(NoAnswer, match="not trusted"),
    ):
        here(trusting).send(get(server.url), seconds=5)


def test_an_address_in_the_url_is_verified_as_an_address(authority, trusting):
    with serving_as(authority.issue_cert("127.0.0.1"), "127.0.0.1") as server:
        assert here(trusting).send(get(server.url), seconds=5).status == 200


def test_a_certificate_of_an_unknown_authority_is_not_trusted(trusting):
    with (
        serving_as(trustme.CA().issue_cert("service.example")) as server,
        pytest.raises(NoAnswer, match="its certificate is not trusted"),
    ):
        here(trusting).send(get(server.url), seconds=5)


def test_an_expired_certificate_is_not_trusted(authority, trusting):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with (
        serving_as(authority.issue_cert("service.example", not_after=yesterday)) as server,
        pytest.raises(NoAnswer, match="certificate has expired"),
    ):
        here(trusting).send(get(server.url), seconds=5)


def test_the_systems_authorities_are_trusted_by_default(authority):
    client = Client(LOOPBACK, lookup=lambda host, port: [ip_address("127.0.0.1")])

    with (
        serving_as(authority.issue_cert("service.example")) as server,
        pytest.raises(NoAnswer, match="not trusted"),
    ):
        client.send(get(server.url), seconds=5)


def test_a_server_without_tls_is_no_answer(server, trusting):
    url = server.url.replace("http://", "https://")

    with pytest.raises(NoAnswer, match="TLS failed: wrong version number"):
        here(trusting).send(get(url), seconds=5)


def test_large_bodies_pass_both_ways(authority, trusting):
    sent = bytes(range(256)) * 20_000
    with serving_as(authority.issue_cert("service.example")) as server:
        url = server.reply("/", Reply(200, {}, sent))
        answer = here(trusting).send(
            Request("POST", parse(url), {}, sent), seconds=20, max_bytes=len(sent)
        )

    assert server.received[0].body == sent
    assert answer.body == sent
