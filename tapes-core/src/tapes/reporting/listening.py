"""Sockets that listen on a port, with errors that name a remedy."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Optional, Tuple

from tapes.errors import ReporterOptionError
from tapes.process.descriptors import OwnSocket, own

_BACKLOG = 128


def listen(host: str, port: int, listener: object) -> OwnSocket:
    """Return a non-blocking socket that listens on `host` and `port`. With port 0 the system chooses one.

    The errors begin with `listener`. Raises ReporterOptionError for a `host` that is not an address, and OSError, with
    its `errno`, for an address of another machine and for a port in use.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ReporterOptionError(
            f"{listener!r} cannot listen on host {host!r}: {error}. Use an address of this machine, "
            f"like '127.0.0.1', or '0.0.0.0' for all that it has."
        ) from error
    absent: Optional[OSError] = None
    for family, _, _, _, address in found:
        try:
            return _listening(family, address)
        except OSError as error:  # noqa: PERF203 -- there are one or two
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise _cannot_listen(host, port, listener, error) from error
            absent = error  # a name may have several addresses, of which only some exist here
    raise _cannot_listen(host, port, listener, absent or OSError(errno.EADDRNOTAVAIL, "")) from absent


def location(host: str, port: int, *, in_url: bool = False) -> str:
    """Return `host:port`, with brackets around an IPv6 address. In a URL, the `%` before its zone is escaped."""
    if in_url:
        host = host.replace("%", "%25")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def overlap(host: str, other: str) -> bool:
    """Return whether the same port cannot be used on both hosts. False if a host cannot be resolved."""
    try:
        (family, address), (other_family, other_address) = _first(host), _first(other)
    except (OSError, UnicodeError):
        return False
    wildcards = {address, other_address} & {"0.0.0.0", "::"}
    if family == other_family:
        return address == other_address or bool(wildcards)
    return "::" in wildcards and not _is_v6_alone()


def is_loopback(listener: socket.socket) -> bool:
    """Return whether a socket can be reached only from this machine."""
    address = str(listener.getsockname()[0])
    return address == "::1" or address.startswith(("127.", "::ffff:127."))


def _first(host: str) -> Tuple[int, str]:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0][0], str(found[0][4][0])


def _is_v6_alone() -> bool:
    """Return whether `::` stands only for IPv6 addresses by default on this system."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        return bool(probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def _listening(family: int, address: Any) -> OwnSocket:
    listener = own(socket.socket(family, socket.SOCK_STREAM))
    try:
        if os.name == "posix":
            # So that closed connections of an earlier listener do not block the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _cannot_listen(host: str, port: int, listener: object, error: OSError) -> OSError:
    remedy = {
        errno.EADDRINUSE: "Stop the program that listens there, or choose another port: 0 takes a free one.",
        errno.EACCES: "Choose a port above 1023.",
    }.get(error.errno or 0, "Use an address of this machine.")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OSError(error.errno, f"{listener!r} cannot listen on {location(host, port)}: {reason}. {remedy}")
