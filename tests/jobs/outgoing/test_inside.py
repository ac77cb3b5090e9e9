"""A request never reaches the inside: by address, by name, by redirect or by a trick."""

from ipaddress import ip_address, ip_network

import pytest

from jobs.outgoing.addresses import Rules
from jobs.outgoing.client import Client, Request
from jobs.outgoing.errors import NoAnswer, Refused
from jobs.outgoing.target import parse
from tests.jobs.local_servers import Reply


class Names:
    """A resolver that gives each name its answers in turn, the last one for ever."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    def __call__(self, host, port):
        self.asked.append(host)
        answers = self.answers[host.partition(".")[0]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(each) for each in answer.split()]


def only_this_host(names=None):
    rules = Rules((ip_network("127.0.0.1/32"),))
    return Client(rules, lookup=names) if names else Client(rules)


def get(url, **headers):
    return Request("GET", parse(url), headers)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_is_closed_by_default(server, host):
    with pytest.raises(Refused, match="HTTP_ALLOW_NETWORKS"):
        Client().send(get(f"http://{host}:{server.server_port}/"), seconds=5)

    assert not server.received


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "10.0.0.1",
    ],
)
def test_what_one_allowed_host_does_not_open(host):
    with pytest.raises(Refused):
        only_this_host().send(get(f"http://{host}/latest/meta-data/"), seconds=5)


def test_a_name_at_a_closed_address_is_refused():
    names = Names(metadata=["169.254.169.254"])

    with pytest.raises(Refused) as refusal:
        only_this_host(names).send(get("http://metadata.example/"), seconds=5)

    assert "169.254" not in str(refusal.value)  # nobody learns how the inside is numbered


@pytest.mark.parametrize("trick", ["127.0.0.2", "::1", "::ffff:127.0.0.2", "10.0.0.1"])
def test_the_checked_address_is_the_one_that_is_called(server, trick):
    names = Names(rebinding=["127.0.0.1", trick])
    url = f"http://rebinding.example:{server.server_port}/"

    only_this_host(names).send(get(url), seconds=5)

    assert names.asked == ["rebinding.example"]
    assert server.received[0].headers["host"] == f"rebinding.example:{server.server_port}"


def test_a_name_is_resolved_and_checked_again_for_the_next_request(server):
    client = only_this_host(Names(rebinding=["127.0.0.1", "10.0.0.1"]))
    url = f"http://rebinding.example:{server.server_port}/"
    client.send(get(url), seconds=5)

    with pytest.raises(Refused):
        client.send(get(url), seconds=5)


def test_of_a_mixed_answer_only_the_permitted_address_is_called(server):
    client = only_this_host(Names(mixed=["10.0.0.1 169.254.169.254 127.0.0.1"]))

    assert client.send(get(f"http://mixed.example:{server.server_port}/"), seconds=5).status == 200


def test_the_next_permitted_address_is_tried_when_one_is_dead(server):
    names = Names(two=["127.0.0.2 127.0.0.1"])
    client = Client(Rules((ip_network("127.0.0.0/8"),)), lookup=names)

    assert client.send(get(f"http://two.example:{server.server_port}/"), seconds=5).status == 200


def test_a_name_that_does_not_resolve_is_no_answer():
    client = Client()

    with pytest.raises(NoAnswer, match="http://no-such-host.invalid: its name does not resolve"):
        client.send(get("http://no-such-host.invalid/"), seconds=10)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://127.0.0.2/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "//10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1:22/",
        "http://127.0.0.1\\@10.0.0.1/",
    ],
)
def test_a_redirect_leads_nowhere_that_a_request_may_not_go(server, location):
    url = server.reply("/", Reply(302, {"Location": location}))

    with pytest.raises(Refused):
        only_this_host().send(get(url), seconds=5, max_redirects=5)

    assert len(server.received) == 1


def test_a_name_that_turns_inside_between_redirects_is_refused(server):
    client = only_this_host(Names(rebinding=["127.0.0.1", "10.0.0.1"]))
    server.reply("/", Reply(302, {"Location": "/again"}))

    with pytest.raises(Refused):
        client.send(
            get(f"http://rebinding.example:{server.server_port}/"), seconds=5, max_redirects=5
        )

    assert len(server.received) == 1
