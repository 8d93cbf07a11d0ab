"""What a descriptor stands for, and whether it still does.

A program that becomes a daemon closes all descriptors that it finds, those of reporters included, and the files that it
opens next get the same numbers. So a reporter compares what a number stands for with what it stood for, before it
writes to it, reads from it or closes it. That costs a microsecond.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, cast

if TYPE_CHECKING:
    _Socket = socket.socket
else:
    _Socket = object

Identity = Tuple[int, int, int]
"""Device, number and type of a file. Each socket and each pipe has a number of its own."""

_LOOK = 1.0  # seconds for which a socket is waited for without a look at what it is

# As they are before gevent replaces them.
_poll = getattr(select, "poll", None)
_POLLIN, _POLLOUT = getattr(select, "POLLIN", 0), getattr(select, "POLLOUT", 0)


def identity(descriptor: int) -> Optional[Identity]:
    """Return what `descriptor` stands for; None if it is not open."""
    try:
        return of(os.fstat(descriptor))
    except OSError:
        return None


def of(found: os.stat_result) -> Identity:
    """Return the identity of the file that was looked at."""
    return found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode)


class OwnSocket(_Socket):
    """A socket that raises OSError, with EBADF, once its descriptor is another's, and leaves that alone.

    Made by `own()`. Also while it waits it is not taken in: it looks again before it reads or writes.
    """

    _identity: Optional[Identity] = None
    _waits = False
    """Whether it does the waiting itself, as opposed to sockets of gevent, which switch to another greenlet."""

    @property
    def lost(self) -> bool:
        """Whether the program has closed the descriptor. It may be another file or socket by now."""
        if self._identity is None:  # where sockets have no identity
            return False
        descriptor = self.fileno()
        return descriptor >= 0 and identity(descriptor) != self._identity

    def accept(self) -> Tuple[OwnSocket, Any]:
        """Return a connection of the same kind."""
        self._require()
        client, address = super().accept()
        return own(client), address

    def recv(self, *arguments: Any) -> bytes:
        """Do as a socket does."""
        self._await(_POLLIN)
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        """Do as a socket does."""
        self._await(_POLLIN)
        return super().recv_into(*arguments)

    def send(self, *arguments: Any) -> int:
        """Do as a socket does."""
        self._await(_POLLOUT)
        return super().send(*arguments)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Do as a socket does, with the timeout for each piece."""
        left = memoryview(data).cast("B")
        while left:
            left = left[self.send(left, flags) :]

    def getsockopt(self, *arguments: Any) -> Any:
        """Do as a socket does."""
        self._require()
        return super().getsockopt(*arguments)

    def setsockopt(self, *arguments: Any) -> None:
        """Do as a socket does."""
        self._require()
        super().setsockopt(*arguments)

    def settimeout(self, value: Optional[float]) -> None:
        """Do as a socket does."""
        self._require()
        super().settimeout(value)

    def setblocking(self, flag: bool) -> None:
        """Do as a socket does."""
        self._require()
        super().setblocking(flag)

    def shutdown(self, how: int) -> None:
        """Do as a socket does."""
        self._require()
        super().shutdown(how)

    def close(self) -> None:
        """Close it, or let go of what is another's."""
        if self.lost:
            super().detach()
        else:
            super().close()

    def detach(self) -> int:
        """Return the descriptor, of which the caller takes care; -1 if it is another's."""
        lost = self.lost
        descriptor = super().detach()
        return -1 if lost else descriptor

    def __del__(self) -> None:
        """Do what the finalizer of sockets does, with the same care."""
        with suppress(Exception):  # the interpreter is about to end
            self.close()

    def _require(self) -> None:
        if self.lost:
            raise OSError(errno.EBADF, "The program has closed the descriptor of this socket")

    def _await(self, event: int) -> None:
        """Wait until it is ready, for as long as its timeout says, and make sure that it is still there then."""
        self._require()
        timeout = self.gettimeout()
        if timeout == 0 or not self._waits or _poll is None or self.type != socket.SOCK_STREAM:
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        poll = _poll()
        poll.register(self, event)
        while True:
            left = _LOOK if deadline is None else max(0.0, deadline - time.monotonic())
            ready = poll.poll(min(left, _LOOK) * 1000)
            self._require()
            if ready:
                return
            if not left:
                raise socket.timeout("timed out")


_classes: Dict[type, Any] = {}  # by the class of sockets: that of gevent, where it has replaced it, is another


def own(made: socket.socket) -> OwnSocket:
    """Return what takes the place of a socket that this program has just made, and that is used no more."""
    base = type(made)
    if isinstance(made, OwnSocket):
        return made
    kind = _classes.get(base)
    if kind is None:
        namespace = {"__doc__": OwnSocket.__doc__, "_waits": base is _PLAIN}
        kind = _classes.setdefault(base, type("OwnSocket", (OwnSocket, base), namespace))
    timeout = made.gettimeout()
    found = cast("OwnSocket", kind(made.family, made.type, made.proto, made.detach()))
    found._identity = identity(found.fileno()) if os.name == "posix" else None
    found.settimeout(timeout)
    return found


_PLAIN = socket.socket if socket.socket.__module__ == "socket" else None
