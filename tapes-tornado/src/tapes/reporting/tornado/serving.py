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
from tapes.reporting.tornado.bounded import MAX_BUFFER, BoundedServer, Client
from tapes.reporting.tornado.loops import asyncio_loop, running_loop

if TYPE_CHECKING:
    from tapes.pages.application import Application
    from tapes.process.descriptors import OwnSocket
    from tapes.reporting.wakeup import Wakeup

_TICK = 1.0  # seconds between two checks of the deadlines of clients, and of the listening socket
_LOOK = 0.05  # seconds between two checks of what a stop waits for: answers, or the end of the loop


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
        self._unended = [True]  # the thread that pops it ends the server, in place of a loop that does not run

    @property
    def clients(self) -> List[Client]:
        """The clients that are connected."""
        return list(self._server.clients.values())

    def begin(self, loop: IOLoop) -> None:
        """Accept clients. Called on the thread of the running loop, and again on that of the next one if it ends."""
        if self._loop is not loop:
            if self._loop is not None:
                self._leave_loop(self._loop)
            self._loop = loop
            loop.call_later(_TICK, self._sweep, loop)
        self._listen(loop)

    def stop(self, ended: Callable[[], None], done: Wakeup, timeout: float) -> bool:
        """Stop, call `ended`, which sets `done`, and return whether that was within `timeout` seconds.

        On the thread of the loop it leaves current answers to the loop, which finishes them after this returns. From
        another thread it waits a second for them. If the loop does not run they are given up.
        """
        with suppress(IndexError):
            self._unserved.pop().close()
            ended()
        loop = self._loop
        if loop is None:
            return done.wait(timeout)
        if running_loop() is asyncio_loop(loop):
            self._shut_down(ended)
            ended()
            return True
        loop.add_callback(self._shut_down, ended)
        deadline, pause = time.monotonic() + timeout, 0.0
        while not done.wait(pause):
            if not asyncio_loop(loop).is_running():
                self._end(ended)
            pause = min(_LOOK, deadline - time.monotonic())
            if pause <= 0:
                self._abandon(loop)
                break
        return done.wait(0)

    def close_inherited(self) -> None:
        """Close the descriptors in a forked child. Leave the loop alone, which the parent shares."""
        for client in self.clients:
            client.close_inherited()
        for listener in (*self._unserved, *self._served):
            listener.close()

    def _listen(self, loop: IOLoop) -> None:
        if loop is not self._loop:
            return  # another loop has taken over
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
            self._pause(loop, listener, error)
        else:
            self._served.append(listener)

    def _pause(self, loop: IOLoop, listener: OwnSocket, error: Exception) -> None:
        self._unserved.append(listener)
        self._failed(error)
        loop.call_later(RETRY, self._listen, loop)

    def _leave_loop(self, loop: IOLoop) -> None:
        """Give up the clients of a loop that does not run any more, and take the listening socket from it."""
        self._server.close_clients()
        with suppress(IndexError):  # it was stopped just now
            listener = self._served.pop()
            with suppress(Exception):  # the loop may be closed
                loop.remove_handler(listener)
            self._unserved.append(listener)

    def _shut_down(self, ended: Callable[[], None]) -> None:
        self._server.stopping = True
        self._close_listener()
        for client in self.clients:
            if not client.answering:
                client.close()
        self._await_answers(ended, time.monotonic() + GRACE)

    def _await_answers(self, ended: Callable[[], None], deadline: float) -> None:
        if any(client.answering for client in self.clients) and time.monotonic() < deadline:
            assert self._loop is not None  # it accepted them
            self._loop.call_later(_LOOK, self._await_answers, ended, deadline)
        else:
            self._server.close_clients()
            ended()

    def _end(self, ended: Callable[[], None]) -> None:
        """End the server in place of a loop that does not run."""
        with suppress(IndexError):  # another thread ends it
            self._unended.pop()
            self._server.stopping = True
            self._close_listener()
            self._server.close_clients()
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
            assert self._loop is not None  # it has called this
            with suppress(IndexError):  # it was stopped
                self._served.pop()
                self._loop.remove_handler(listener)
                self._pause(self._loop, listener, error)
            return
        self._server.handle_stream(IOStream(client, max_buffer_size=MAX_BUFFER), address)

    def _is_there(self) -> bool:
        """Return False, and stop listening, if the program has closed the listening socket."""
        if not any(listener.lost for listener in self._served):
            return True
        self._close_listener()
        self._failed(ReporterError("The program has closed the socket that listens: start the reporter after that."))
        return False

    def _sweep(self, loop: IOLoop) -> None:
        """Check the deadlines of answers and the listening socket, again and again."""
        if loop is not self._loop or (self._server.stopping and not self.clients):
            return
        self._is_there()
        for client in self.clients:
            if client.answering and client.deadline <= time.monotonic():
                client.close()
        loop.call_later(_TICK, self._sweep, loop)
