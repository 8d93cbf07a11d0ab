"""The identity of file descriptors: does a number still stand for the same file or socket?

A program that becomes a daemon closes all open descriptors, those of reporters included, and the files it opens next
reuse their numbers. So a reporter compares identities before it writes to, reads from or closes a descriptor. That
costs a microsecond.
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
"""Device, inode number and type of a file. Each socket and each pipe has its own inode number."""

_LOOK = 1.0  # the most seconds of waiting for a socket before its identity is checked again

# The originals, before gevent replaces them.
_poll = getattr(select, "poll", None)
_POLLIN, _POLLOUT = getattr(select, "POLLIN", 0), getattr(select, "POLLOUT", 0)


def identity(descriptor: int) -> Optional[Identity]:
    """Return the identity of `descriptor`; None if it is not open."""
    try:
        return of(os.fstat(descriptor))
    except OSError:
        return None


def of(found: os.stat_result) -> Identity:
    """Return the identity in a result of `os.stat` or `os.fstat`."""
    return found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode)


class OwnSocket(_Socket):
    """A socket that raises OSError, with EBADF, once the program has closed or reused its descriptor.

    It never touches the new owner's file. Made by `own()`. It also checks again after each wait, before it reads or
    writes.
    """

    _identity: Optional[Identity] = None
    _waits = False
    """True if it waits by itself. Sockets of gevent switch to another greenlet instead."""

    @property
    def lost(self) -> bool:
        """True if the program has closed the descriptor. The number may stand for another file or socket by now."""
        if self._identity is None:  # where sockets have no identity
            return False
        descriptor = self.fileno()
        return descriptor >= 0 and identity(descriptor) != self._identity

    def accept(self) -> Tuple[OwnSocket, Any]:
        """Return a connection, as an `OwnSocket`, and its address."""
        self._require()
        client, address = super().accept()
        return own(client), address

    def recv(self, *arguments: Any) -> bytes:
        """Check the identity, then do the same as a socket."""
        self._await(_POLLIN)
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        """Check the identity, then do the same as a socket."""
        self._await(_POLLIN)
        return super().recv_into(*arguments)

    def send(self, *arguments: Any) -> int:
        """Check the identity, then do the same as a socket."""
        self._await(_POLLOUT)
        return super().send(*arguments)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Do the same as a socket, but with the timeout for each piece, and with a check before each."""
        left = memoryview(data).cast("B")
        while left:
            left = left[self.send(left, flags) :]

    def getsockopt(self, *arguments: Any) -> Any:
        """Check the identity, then do the same as a socket."""
        self._require()
        return super().getsockopt(*arguments)

    def setsockopt(self, *arguments: Any) -> None:
        """Check the identity, then do the same as a socket."""
        self._require()
        super().setsockopt(*arguments)

    def settimeout(self, value: Optional[float]) -> None:
        """Check the identity, then do the same as a socket."""
        self._require()
        super().settimeout(value)

    def setblocking(self, flag: bool) -> None:
        """Check the identity, then do the same as a socket."""
        self._require()
        super().setblocking(flag)

    def shutdown(self, how: int) -> None:
        """Check the identity, then do the same as a socket."""
        self._require()
        super().shutdown(how)

    def close(self) -> None:
        """Close the descriptor; only detach it if it is lost."""
        if self.lost:
            super().detach()
        else:
            super().close()

    def detach(self) -> int:
        """Return the descriptor, which the caller then owns; -1 if it is lost."""
        lost = self.lost
        descriptor = super().detach()
        return -1 if lost else descriptor

    def __del__(self) -> None:
        """Close like the finalizer of a socket, but never a lost descriptor."""
        with suppress(Exception):  # the interpreter may be exiting
            self.close()

    def _require(self) -> None:
        if self.lost:
            raise OSError(errno.EBADF, "The program has closed the descriptor of this socket")

    def _await(self, event: int) -> None:
        """Wait for `event`, at most for the socket's timeout, and check that the descriptor is not lost."""
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


_classes: Dict[type, Any] = {}  # by socket class, since gevent may have replaced that


def own(made: socket.socket) -> OwnSocket:
    """Return an `OwnSocket` that replaces a newly made socket. `made` must not be used any more."""
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
