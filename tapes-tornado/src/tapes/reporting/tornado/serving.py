"""Serves pages at one listening socket on a loop: begins when there is one, goes on with the next, and ends."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, List, Optional

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from tapes.errors import ReporterError
from tapes.pages.connections import GRACE, RETRY
from tapes.reporting.tornado.bounded import MAX_BUFFER, BoundedServer
from tapes.reporting.tornado.loops import asyncio_loop, running_loop

if TYPE_CHECKING:
    from tapes.pages.application import Application
    from tapes.process.descriptors import OwnSocket
    from tapes.reporting.wakeup import Wakeup

_TICK = 1.0  # seconds between two checks of the deadlines of clients, and of the listening socket
_LOOK = 0.05  # seconds between two checks that the loop that has to end the server still runs


class Server:
    """Serves an application to the clients of one listening socket, once. It may be made before there is a loop.

    `stop()` is thread-safe. Everything else runs on the thread of the loop, or in its place if it does not run.
    """

    def __init__(
        self,
        listener: OwnSocket,
        application: Application,
        failed: Callable[[BaseException], None],
    ) -> None:
        """Serve `application` at `listener`. `failed` is called with the error if a client cannot be accepted."""
        self._server = BoundedServer(application)
        self._failed = failed
        # The thread that pops the socket closes it, or takes it to a loop. Popping is atomic, and needs no lock.
        self._unserved: List[OwnSocket] = [listener]
        self._served: List[OwnSocket] = []
        self._loop: Optional[IOLoop] = None
        self._clients = self._server.clients
        self._ended: Optional[Callable[[], None]] = None
        self._unended = [True]  # the thread that pops it ends the server, in place of a loop that does not run

    def __len__(self) -> int:
        """Return how many clients there are."""
        return len(self._clients)

    def begin(self, loop: IOLoop) -> None:
        """Accept clients. Called on the thread of the running loop, and again on that of the next one if it ends."""
        if self._loop is not None and self._loop is not loop:
            self._leave_loop(self._loop)
        self._loop = loop
        try:
            listener = self._unserved.pop()
        except IndexError:
            return  # it was stopped just now
        if listener.fileno() < 0:  # IOLoop.close(all_fds=True)
            self._failed(ReporterError("The loop that has ended has closed the socket that listens: start again."))
            return
        try:
            loop.add_handler(listener, self._accept, IOLoop.READ)
        except OSError as error:  # the system lacks a resource
            self._unserved.append(listener)
            self._failed(error)
            loop.call_later(RETRY, self.begin, loop)
        else:
            self._served.append(listener)
            loop.call_later(_TICK, self._sweep, loop)

    def stop(self, ended: Callable[[], None], done: Wakeup, timeout: float) -> bool:
        """Stop, call `ended`, which sets `done`, and return whether that was within `timeout` seconds.

        On the thread of the loop it leaves current answers to the loop, which finishes them after this returns. From
        another thread it waits a second for them. If the loop does not run they are given up.
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
        """Close the descriptors in a forked child. Leave the loop alone, which the parent shares."""
        for client in list(self._clients.values()):
            client.close_descriptor()
        for listener in (*self._unserved, *self._served):
            listener.close()

    def _leave_loop(self, loop: IOLoop) -> None:
        """Give up the clients of a loop that does not run any more, and take the listening socket from it."""
        for client in list(self._clients.values()):
            client.forget()
        self._clients.clear()
        with suppress(IndexError):  # it was stopped just now
            listener = self._served.pop()
            with suppress(Exception):  # the loop may be closed
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
        if self._server.stopping:
            return
        self._server.stopping = True
        self._ended = ended
        self._close_listener()
        for client in list(self._clients.values()):
            if not client.answering:
                client.close()
        self._await_answers(time.monotonic() + GRACE)

    def _await_answers(self, deadline: float) -> None:
        if any(client.answering for client in list(self._clients.values())) and time.monotonic() < deadline:
            assert self._loop is not None  # it accepted them
            self._loop.call_later(_LOOK, self._await_answers, deadline)
        else:
            self._close()

    def _end(self, ended: Callable[[], None]) -> None:
        """End the server in place of a loop that does not run."""
        with suppress(IndexError):  # another thread ends it
            self._unended.pop()
            self._server.stopping = True
            for client in list(self._clients.values()):
                client.forget()
            self._close()
            ended()

    def _close(self) -> None:
        self._close_listener()
        for client in list(self._clients.values()):
            client.close()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def _close_listener(self) -> None:
        with suppress(IndexError):  # it is closed already
            self._forget(self._served.pop())

    def _forget(self, listener: socket.socket) -> None:
        assert self._loop is not None  # it served there
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.remove_handler(listener)
        listener.close()

    def _abandon(self, loop: IOLoop) -> None:
        """Stop listening, although the loop is stuck and cannot do it.

        The descriptor gets another socket. It must not be closed, or the next file that is opened would get its number,
        and the loop would mistake that file for the socket.
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
            return  # the client left before it was accepted
        except OSError as error:
            self._cannot_accept(error)
            return
        try:
            self._add(client, address)
        except Exception as error:  # noqa: BLE001 -- whatever the loop raises
            client.close()
            self._cannot_accept(error)

    def _add(self, client: socket.socket, address: Any) -> None:
        with suppress(OSError):  # a Unix socket has no such option
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.handle_stream(IOStream(client, max_buffer_size=MAX_BUFFER), address)

    def _cannot_accept(self, error: Exception) -> None:
        if not self._served:
            return  # it was stopped
        self._failed(error)
        assert self._loop is not None  # it has called this
        self._loop.update_handler(self._served[0], 0)
        self._loop.call_later(RETRY, self._accept_again)

    def _accept_again(self) -> None:
        if self._is_there() and self._served and self._loop is not None:
            self._loop.update_handler(self._served[0], IOLoop.READ)

    def _is_there(self) -> bool:
        """Return False, and stop listening, if the program has closed the listening socket."""
        if not any(listener.lost for listener in self._served):
            return True
        self._close_listener()
        self._failed(ReporterError("The program has closed the socket that listens: start the reporter after that."))
        return False

    def _sweep(self, loop: IOLoop) -> None:
        if loop is not self._loop:
            return  # another loop has taken over
        self._is_there()
        for client in list(self._clients.values()):
            if client.is_overdue:
                client.close()
        if self._served or self._clients:
            loop.call_later(_TICK, self._sweep, loop)


def _runs(loop: IOLoop) -> bool:
    return asyncio_loop(loop).is_running()
