"""A redirect is followed as browsers do it, and takes no credentials to strangers."""

import pytest

from jobs.outgoing.client import Request
from jobs.outgoing.errors import Refused
from jobs.outgoing.target import parse
from tests.jobs.local_servers import Reply, WebServer, serving

FOLLOWED = [
    # status, method, the method after it, whether the body goes along
    (301, "GET", "GET", True),
    (301, "POST", "GET", False),
    (301, "PUT", "PUT", True),
    (302, "HEAD", "HEAD", True),
    (302, "POST", "GET", False),
    (302, "DELETE", "DELETE", True),
    (303, "POST", "GET", False),
    (303, "PUT", "GET", False),
    (303, "HEAD", "HEAD", True),
    (307, "POST", "POST", True),
    (308, "PATCH", "PATCH", True),
]


@pytest.mark.parametrize(("status", "method", "becomes", "keeps_body"), FOLLOWED)
def test_the_method_and_body_after_a_redirect(status, method, becomes, keeps_body):
    headers = {"Content-Type": "text/plain", "Authorization": "Bearer x"}
    request = Request(method, parse("https://a.example/x"), headers, b"hello")

    redirected = request.redirected(status, "/y")

    assert (redirected.method, redirected.target.path) == (becomes, "/y")
    assert redirected.body == (b"hello" if keeps_body else None)
    assert ("Content-Type" in redirected.headers) is keeps_body
    assert redirected.headers["Authorization"] == "Bearer x"


@pytest.mark.parametrize(
    "location", ["https://b.example/", "https://a.example:8443/", "https://sub.a.example/"]
)
def test_another_origin_gets_no_header_that_may_be_a_credential(location):
    headers = {
        "Accept": "text/plain",
        "User-Agent": "us",
        "Content-Type": "text/plain",
        "AUTHORIZATION": "Bearer x",
        "Cookie": "a=b",
        "X-Api-Key": "secret",
    }
    request = Request("POST", parse("https://a.example/"), headers, b"hello")

    redirected = request.redirected(307, location)

    assert set(redirected.headers) == {"Accept", "User-Agent", "Content-Type"}


def test_a_redirect_from_https_to_http_is_refused():
    request = Request("GET", parse("https://a.example/"))

    with pytest.raises(Refused, match="from https to http"):
        request.redirected(302, "http://a.example/")


def test_redirects_are_followed_to_the_end(client, server):
    url = server.reply("/a", Reply(301, {"Location": "/b"}))
    server.reply("/b", Reply(308, {"Location": server.url + "/c?d=e"}))
    server.reply("/c", Reply(200, {}, b"here"))

    answer = client.send(Request("GET", parse(url)), seconds=5, max_redirects=2)

    assert answer.body == b"here"
    assert str(answer.target) == server.url + "/c?d=e"


def test_a_credential_does_not_follow_to_another_server(client, server):
    with serving(WebServer()) as stranger:
        url = server.reply("/", Reply(302, {"Location": stranger.url}))
        client.send(
            Request("GET", parse(url), {"Authorization": "Bearer x"}), seconds=5, max_redirects=1
        )

    assert server.received[0].headers["authorization"] == "Bearer x"
    assert "authorization" not in stranger.received[0].headers


def test_a_circle_of_redirects_ends(client, server):
    url = server.reply("/", Reply(302, {"Location": "/"}))

    with pytest.raises(Refused, match="more than 3 times"):
        client.send(Request("GET", parse(url)), seconds=5, max_redirects=3)

    assert len(server.received) == 4


def test_without_redirects_the_redirect_is_the_answer(client, server):
    url = server.reply("/", Reply(302, {"Location": "/b"}))

    assert client.send(Request("GET", parse(url)), seconds=5).status == 302


def test_a_redirect_that_was_expected_is_the_answer(client, server):
    url = server.reply("/", Reply(302, {"Location": "/b"}))

    answer = client.send(
        Request("GET", parse(url)), seconds=5, max_redirects=5, stop_at=frozenset({302})
    )

    assert answer.status == 302


def test_a_redirect_to_nowhere_is_the_answer(client, server):
    url = server.reply("/", Reply(302))

    assert client.send(Request("GET", parse(url)), seconds=5, max_redirects=5).status == 302
