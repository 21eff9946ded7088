"""Which network addresses a URI from a stranger may lead to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

#: From host and port to IP addresses in text form. Raises `OSError` or `UnicodeError`.
Resolver = Callable[[str, int], list[str]]

# Well-known prefix of NAT64: the last four bytes are an IPv4 address.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str, port: int) -> list[str]:
    """The system's answer, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, looking through IPv6 forms that carry an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(ip.packed[12:])
        if inner is not None and not is_public(str(inner)):
            return False
        # A mapped address is nothing but its IPv4 address.
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast
