"""Which addresses a connector may reach."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from activities.ports.outbound import OutboundRules

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `is_global` of the standard library differs between its versions; these are closed whatever it says.
_CLOSED = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
        *("::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10"),
        # The host agent of one cloud's machines answers at a public address.
        "168.63.129.16/32",
    )
)
_NEVER = tuple(ip_network(text) for text in ("0.0.0.0/8", "::/128", "224.0.0.0/4", "255.255.255.255/32", "ff00::/8"))
# Cloud machines hand out their own credentials here: a wide range never opens them by accident.
_NEVER_BY_RANGE = tuple(
    ip_network(text) for text in ("169.254.0.0/16", "100.100.100.200/32", "fe80::/10", "fd00:ec2::/32")
)
_NAT64 = ip_network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFFFFFF


def may_reach(text: str, rules: OutboundRules) -> bool:
    """Return whether a connector may open a connection to an address, given as text."""
    try:
        outer = ip_address(text)
    except ValueError:
        return False
    return all(_open(address, rules) for address in (outer, *_carried(outer)))


def is_loopback(text: str) -> bool:
    """Return whether a host is this machine's own loopback, by literal address or as `localhost`."""
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return text == "localhost"


def _open(address: Address, rules: OutboundRules) -> bool:
    if address.is_loopback:
        return rules.development
    if any(_holds(network, address) for network in _NEVER):
        return False
    if any(_opens(network, address) for network in rules.allowed_networks) or _is_wrapper(address):
        return True
    return address.is_global and not any(_holds(network, address) for network in _CLOSED)


def _opens(network: Network, address: Address) -> bool:
    if not _holds(network, address):
        return False
    guarded = next((one for one in _NEVER_BY_RANGE if _holds(one, address)), None)
    return guarded is None or network.prefixlen >= guarded.prefixlen


def _holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _is_wrapper(address: Address) -> bool:
    """Whether the address is only a way to write an IPv4 one, which is judged in its place."""
    return isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or _holds(_NAT64, address))


def _carried(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 one leads to: mapped, translated or tunnelled."""
    if not isinstance(address, IPv6Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if _holds(_NAT64, address):
        found.append(IPv4Address(int(address) & _LOW_32_BITS))
    return [one for one in found if one is not None]
