"""Checks of the Host header, against DNS rebinding: a foreign name may lead a browser to this machine."""

from __future__ import annotations

import re
from typing import FrozenSet

from tapes.errors import ReporterOptionError, quoted

_ADDRESS = re.compile(r"|localhost|[0-9.]+|\[.*\]")


def host_of(location: str) -> str:
    """Return the host of a location like `localhost:8889`, in lower case."""
    return re.sub(r":[0-9]*\Z", "", location).rstrip(".").lower()


def is_allowed(host: str, allowed: FrozenSet[str]) -> bool:
    """Return whether a host is allowed, an address, `localhost`, or empty because the client sent none."""
    return host in allowed or _ADDRESS.fullmatch(host) is not None


def checked_hosts(hosts: object) -> FrozenSet[str]:
    """Return the option `allowed_hosts` as a set. Raises ReporterOptionError unless it is a list of names."""
    if isinstance(hosts, (list, tuple, set, frozenset)) and all(isinstance(host, str) and host for host in hosts):
        return frozenset(map(host_of, hosts))
    raise ReporterOptionError(f"allowed_hosts is a list of names, like ['metrics.example.org'], not {quoted(hosts)}.")
