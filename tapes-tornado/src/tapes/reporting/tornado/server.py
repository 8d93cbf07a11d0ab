"""A server on a loop: who may come in, and how it ends."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from tornado.ioloop import IOLoop

from tapes.errors import ReporterError
from tapes.pages.connections import GRACE, MAX_CONNECTIONS, RETRY, first_to_go
from tapes.reporting.tornado.client import Client
from tapes.reporting.tornado.loops import asyncio_loop, running_loop

if TYPE_CHECKING:
    from tapes.pages.application import Application
    from tapes.process.descriptors import OwnSocket
    from tapes.reporting.wakeup import Wakeup

_TICK = 1.0  # seconds between looks at the deadlines of clients, and whether the listening socket is still there
_LOOK = 0.05  # seconds between looks whether the loop that is to end the server still runs


class Server:
    """Serves an application to the clients of one listening socket, on one loop, once. Made before there is a loop.

    `stop()` may be called from any thread; everything else is done on the thread of the loop, or in its place, where it
    does not run.
    """

    def __init__(
        self,
        listener: OwnSocket,
        application: Application,
        failed: Callable[[BaseException], None],
    ) -> None:
        """Serve `application` at `listener`. `failed` is told why a client could not be let in."""
        self._application = application
        self._failed = failed
        # Whoever pops the socket is the one to close it, or to take it to a loop: that is atomic, and needs no lock.
        self._unserved: List[OwnSocket] = [listener]
        self._served: List[OwnSocket] = []
        self._loop: Optional[IOLoop] = None
        self._clients: Dict[Client, None] = {}
        self._stopping = False
        self._ended: Optional[Callable[[], None]] = None
        self._unended = [True]  # whoever pops it ends the server in place of a loop that does not run

    def __len__(self) -> int:
        """Return how many clients there are."""
        return len(self._clients)

    def begin(self, loop: IOLoop) -> None:
        """Let clients in. Called on the thread of the loop, which runs, and again on that of another, if it ends."""
        if self._loop is not None and self._loop is not loop:
            self._leave_loop(self._loop)
        self._loop = loop
        try:
            listener = self._unserved.pop()
        except IndexError:
            return  # it has been stopped in this moment
        if listener.fileno() < 0:  # IOLoop.close(all_fds=True)
            self._failed(ReporterError("The loop that has ended has closed the socket that listens: start again."))
            return
        try:
            loop.add_handler(listener, self._accept, IOLoop.READ)
        except OSError as error:  # the system is out of something
            self._unserved.append(listener)
            self._failed(error)
            loop.call_later(RETRY, self.begin, loop)
        else:
            self._served.append(listener)
            loop.call_later(_TICK, self._sweep, loop)

    def stop(self, ended: Callable[[], None], done: Wakeup, timeout: float) -> bool:
        """Stop, call `ended`, which sets `done`, and return whether that was within `timeout` seconds.

        On the thread of the loop answers that are under way are left to the loop, which goes on for them when this has
        returned. From another thread they are waited for, for a second. Where the loop does not run, they are given up.
        """
        if self._unserved:
            with suppress(IndexError):
                self._unserved.pop().close()
                ended()
        loop = self._loop
        if loop is None:
            return done.wait(timeout)
        if not _runs(loop):
            self._end(ended)
        elif running_loop() is asyncio_loop(loop):
            self._shut_down()
            ended()
            return True
        else:
            self._stop_from_afar(loop, ended, done, timeout)
        return done.wait(timeout)

    def close_inherited(self) -> None:
        """Close the descriptors in a forked child. The loop is left alone: it is the parent's as well."""
        for client in list(self._clients):
            client.close_inherited()
        for listener in (*self._unserved, *self._served):
            listener.close()

    def _leave_loop(self, loop: IOLoop) -> None:
        """Give up what is under way on a loop that runs no more, and take the socket that listens from it."""
        for client in list(self._clients):
            client.close()
        with suppress(IndexError):  # it has been stopped in this moment
            listener = self._served.pop()
            with suppress(Exception):  # the loop is closed
                loop.remove_handler(listener)
            self._unserved.append(listener)

    def _stop_from_afar(self, loop: IOLoop, ended: Callable[[], None], done: Wakeup, timeout: float) -> None:
        loop.add_callback(self._shut_down, ended)
        deadline = time.monotonic() + timeout
        while not done.wait(max(0.0, min(_LOOK, deadline - time.monotonic()))):
            if not _runs(loop):
                self._end(ended)
            elif time.monotonic() >= deadline:
                self._abandon(loop)
                return

    def _shut_down(self, ended: Optional[Callable[[], None]] = None) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._ended = ended
        self._close_listener()
        for client in list(self._clients):
            client.leave()
        if self._clients:
            assert self._loop is not None  # they came by it
            self._loop.call_later(GRACE, self._close)
        else:
            self._close()

    def _end(self, ended: Callable[[], None]) -> None:
        """End in place of a loop that does not run."""
        with suppress(IndexError):  # another thread is at it
            self._unended.pop()
            self._stopping = True
            self._close()
            ended()

    def _close(self) -> None:
        self._close_listener()
        for client in list(self._clients):
            client.close()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def _close_listener(self) -> None:
        with suppress(IndexError):  # it has been closed
            self._forget(self._served.pop())

    def _forget(self, listener: socket.socket) -> None:
        assert self._loop is not None  # it served there
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.remove_handler(listener)
        listener.close()

    def _abandon(self, loop: IOLoop) -> None:
        """Listen no more, although the loop is stuck and cannot be told.

        The descriptor is given something else to stand for. It must not be closed: it would be given to whatever is
        opened next, and the loop would take that for this.
        """
        with suppress(IndexError, OSError):
            descriptor = self._served.pop().detach()
            with socket.socket() as nothing:
                os.dup2(nothing.fileno(), descriptor, inheritable=False)
            loop.add_callback(self._forget, socket.socket(fileno=descriptor))

    def _accept(self, listener: Any, events: int) -> None:
        if not self._is_there():
            return
        try:
            client, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # the client has gone before it was its turn
        except OSError as error:
            self._cannot_accept(error)
            return
        try:
            self._add(client, address)
        except Exception as error:  # noqa: BLE001 -- whatever the loop has against it
            client.close()
            self._cannot_accept(error)

    def _add(self, client: socket.socket, address: Any) -> None:
        assert self._loop is not None  # it has called this
        while len(self._clients) >= MAX_CONNECTIONS:
            first_to_go(list(self._clients)).close()
        added = Client(self._loop, client, address, self._application, self._gone)
        self._clients[added] = None
        if self._stopping:  # by a signal handler, in this moment
            added.close()

    def _cannot_accept(self, error: Exception) -> None:
        if not self._served:
            return  # it has been stopped
        self._failed(error)
        assert self._loop is not None  # it has called this
        self._loop.update_handler(self._served[0], 0)
        self._loop.call_later(RETRY, self._accept_again)

    def _accept_again(self) -> None:
        if self._is_there() and self._served and self._loop is not None:
            self._loop.update_handler(self._served[0], IOLoop.READ)

    def _is_there(self) -> bool:
        """Listen no more if the program has closed the socket that listens; False if so."""
        if not any(listener.lost for listener in self._served):
            return True
        self._close_listener()
        self._failed(ReporterError("The program has closed the socket that listens: start the reporter after that."))
        return False

    def _sweep(self, loop: IOLoop) -> None:
        if loop is not self._loop:
            return  # it has been left
        self._is_there()
        now = time.monotonic()
        for client in list(self._clients):
            if client.deadline <= now:
                client.close()
        if self._served or self._clients:
            loop.call_later(_TICK, self._sweep, loop)

    def _gone(self, client: Client) -> None:
        self._clients.pop(client, None)
        if self._stopping and not self._clients:
            self._close()


def _runs(loop: IOLoop) -> bool:
    return asyncio_loop(loop).is_running()
