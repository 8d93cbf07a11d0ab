"""Where a StatsD is, as people write it on a command line. Pure functions."""

from __future__ import annotations

import argparse
import ipaddress
import re
from typing import NamedTuple


class Destination(NamedTuple):
    """The host and the port of a StatsD."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def destination(text: str) -> Destination:
    """Read `HOST:PORT`, like `localhost:8125`, `127.0.0.1:8125` or `[::1]:8125`.

    Raises argparse.ArgumentTypeError for anything else.
    """
    found = re.fullmatch(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[\w.-]+)):(?P<port>[0-9]{1,5})", text, re.ASCII)
    if found is None or not 1 <= int(found["port"]) <= 65535 or not _is_address(found["ipv6"]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the HOST:PORT of a StatsD, like localhost:8125 or [::1]:8125, with a port from 1 to 65535"
        )
    return Destination(found["name"] or found["ipv6"], int(found["port"]))


def _is_address(ipv6: str | None) -> bool:
    """Whether it is an address, if it is there at all."""
    try:
        return ipv6 is None or bool(ipaddress.IPv6Address(ipv6).packed)
    except ValueError:
        return False
