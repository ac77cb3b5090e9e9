"""Which addresses a task may call: public ones, and private ones that the operator allowed."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses (RFC 6890) and of multicast, and what clouds answer
# on. Spelled out, because `ipaddress.is_global` differs between patch releases of Python.
SPECIAL: dict[Network, str] = {
    ip_network(network): meaning
    for network, meaning in {
        "0.0.0.0/8": "this host",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared by a provider; cloud metadata",
        "127.0.0.0/8": "loopback",
        "168.63.129.16/32": "cloud metadata",
        "169.254.0.0/16": "link-local; cloud metadata",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "protocol assignments; cloud metadata",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "6to4 relay",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "2001::/23": "protocol assignments; Teredo",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "3fff::/20": "documentation",
    }.items()
}
GLOBAL_UNICAST = IPv6Network("2000::/3")  # of IPv6, all that is given out; the rest is special
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits


@dataclass(frozen=True)
class Rules:
    """What the operator allows beyond public addresses."""

    allow_networks: tuple[Network, ...] = ()

    def permit(self, address: Address) -> bool:
        reached = reached_by(address)
        return is_public(reached) or any(reached in network for network in self.allow_networks)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could reach this address as well."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return not any(address in network for network in SPECIAL)


def reached_by(address: Address) -> Address:
    """The address that is reached in the end: an IPv6 address may stand for an IPv4 address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(address.packed[-4:])
    return address
