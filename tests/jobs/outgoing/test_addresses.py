"""A task may call what anybody on the internet could call, and what the operator allowed."""

from ipaddress import ip_address, ip_network

import pytest

from jobs.outgoing.addresses import SPECIAL, Rules

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",  # DNS64 on a network that speaks IPv6 only
]

CLOSED = {
    "0.0.0.0": "this host",
    "0.1.2.3": "this host",
    "10.0.0.1": "private",
    "100.100.100.200": "Alibaba's metadata",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "Azure's metadata",
    "169.254.169.254": "metadata of most clouds",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "Oracle's metadata",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarking",
    "203.0.113.7": "documentation",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "this host",
    "::1": "loopback",
    "::127.0.0.1": "IPv4-compatible",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:a9fe:a9fe": "IPv4-mapped metadata",
    "64:ff9b::7f00:1": "NAT64 to loopback",
    "64:ff9b::169.254.169.254": "NAT64 to metadata",
    "64:ff9b:1::a00:1": "local NAT64",
    "100::1": "discarded",
    "2001::1": "Teredo",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4 to loopback",
    "3fff::1": "documentation",
    "5f00::1": "segment routing",
    "fc00::1": "unique local",
    "fd00:ec2::254": "Amazon's metadata",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local with its zone",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address):
    assert Rules().permit(ip_address(address))


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_special_may_not_be_called(address):
    assert not Rules().permit(ip_address(address))


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_a_special_network_is_closed_from_its_first_to_its_last_address(network):
    assert not Rules().permit(network[0])
    assert not Rules().permit(network[-1])


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_a_special_network_opens_when_the_operator_allows_it(network):
    rules = Rules((network,))

    assert rules.permit(network[0])
    assert rules.permit(network[-1])


def test_an_allowed_network_is_meant_however_its_address_is_spelled():
    rules = Rules((ip_network("10.1.0.0/16"),))

    assert rules.permit(ip_address("::ffff:10.1.2.3"))
    assert not rules.permit(ip_address("::ffff:10.2.0.1"))


def test_allowing_one_network_opens_no_other():
    rules = Rules((ip_network("10.0.0.0/8"),))

    assert not rules.permit(ip_address("192.168.0.1"))
    assert not rules.permit(ip_address("169.254.169.254"))
