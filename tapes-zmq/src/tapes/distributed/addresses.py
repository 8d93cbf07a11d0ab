"""Where an aggregator is: checked and made absolute as soon as it is given."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from contextlib import suppress
from typing import NamedTuple, Optional

from tapes.distributed import files
from tapes.errors import ReporterOptionError

DEFAULT = "ipc://tapes_metrics.ipc"
"""Where an aggregator is unless it is told otherwise: a file in the working directory."""

_LONGEST = 107  # bytes of the path of a socket, on Linux; a little less elsewhere
_TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>\d+)")


class Address(NamedTuple):
    """A 0MQ address that has been checked."""

    text: str
    path: Optional[str]
    """The file of an `ipc://` address."""

    def __str__(self) -> str:
        return self.text


def checked(address: object, *, keys: object, insecure: bool) -> Address:
    """Return `address`, `ipc://PATH` or `tcp://HOST:PORT`, with an absolute path.

    Raises ReporterOptionError for anything else, and for a host beyond loopback where there are no `keys`, unless it
    may be `insecure`.
    """
    if not isinstance(address, str):
        raise ReporterOptionError(
            f"socket_addr is a str like 'ipc://metrics.ipc' or 'tcp://10.0.0.1:5550', not {address!r}."
        )
    if address.startswith("ipc://") and len(address) > len("ipc://"):
        path = os.path.abspath(address[len("ipc://") :])
        length = len(os.fsencode(path))
        if length > _LONGEST:
            raise ReporterOptionError(
                f"socket_addr is {address!r}, whose path {path!r} has {length} bytes. The system takes {_LONGEST}: "
                "choose a shorter one, like one in /run or /tmp."
            )
        return Address(f"ipc://{path}", path)
    found = _TCP.fullmatch(address)
    if not found or int(found["port"]) > 65535:
        raise ReporterOptionError(
            f"socket_addr is 'ipc://PATH' or 'tcp://HOST:PORT', not {address!r}. Use tcp:// between hosts only."
        )
    if not keys and not insecure and not _is_loopback(found["host"]):
        raise ReporterOptionError(
            f"socket_addr {address!r} is beyond this host, and nothing would be encrypted or checked there. Make keys "
            "with `python -m tapes.distributed keygen DIR` and give keys=DIR, or say insecure=True."
        )
    return Address(address, None)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


def listening(path: str) -> int:
    """Make a socket at `path` that its owner alone can connect to, and return its descriptor. Raises OSError.

    Nobody can connect before it listens, so its mode is right at all times, without the umask of all threads.
    """
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
        os.chmod(path, files.PRIVATE)
        made.listen(socket.SOMAXCONN)
        return made.detach()
