"""The connection of a worker to its aggregator. It reconnects after any fault, and says why there is none."""

from __future__ import annotations

import errno
import math
import os
import time
from typing import TYPE_CHECKING, Callable, FrozenSet, Optional, cast

import zmq
from zmq.utils.monitor import recv_monitor_message

from tapes.distributed import trust
from tapes.distributed.claims import has_successor
from tapes.errors import ReporterError
from tapes.process.descriptors import identity

if TYPE_CHECKING:
    from tapes.distributed.addresses import Address
    from tapes.distributed.keys import WorkerKeys

    _Socket = zmq.Socket[bytes]
else:
    _Socket = zmq.Socket

_HIGH_WATER_MARK = 256  # frames in the send queue, at most; some 8 MB by the size of frames
_AGAIN = (0.1, 0.5)  # seconds until the next attempt, at first and at most
_REFUSED = 2.0  # seconds until the next attempt after a refusal: keys do not change that often
_ATTEMPT = 5.0  # seconds in which a host has to answer
_ANSWER = 2.0  # seconds in which the accepting process has to answer; one that does not may be suspended
_BEAT, _BEATEN = 2_000, 6_000  # interval and timeout of heartbeats over a network, in milliseconds

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_LOST = zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED
_EVENTS = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | _FAILED | _LOST

_FAR = "its host does not answer, or has no address"
_MUTE = "the process that listens there does not answer: it is suspended, or is no aggregator"

Keys = Callable[[], "Optional[WorkerKeys]"]
"""Returns the current keys; None if there are none."""


class _LeftOpen(_Socket):
    """A socket without a finalizer: by then its descriptor may be another file of the program."""

    def __del__(self) -> None:
        """Do not close the socket."""


class Connection:
    """A socket that connects to an aggregator. For one thread of one process.

    0MQ reconnects by itself after some faults and not after others, and to whatever is at the address by then. So here
    each attempt has a socket of its own.
    """

    def __init__(self, address: Address, keys: Keys, trusted: FrozenSet[int]) -> None:
        self._address = address
        self._read_keys = keys
        self._keys: Optional[WorkerKeys] = None
        self._trusted = trusted
        self._pid = os.getpid()
        self._sentinel, other = os.pipe()
        os.close(other)
        self._stands_for = identity(self._sentinel)
        self._context = zmq.Context()
        self._socket: Optional[_LeftOpen] = None
        self._monitor: Optional[_LeftOpen] = None
        self._attempts = 0
        self._next = -math.inf
        self._pause = _AGAIN[0]
        self._begun = 0.0
        self._connected = False
        self.ready = False
        """Whether the handshake has succeeded."""
        self.peer: Optional[trust.Peer] = None
        """The process at the other end, if known."""
        self.fault: Optional[str] = None
        """Why there is no aggregator, with the remedy; None once the handshake has succeeded."""

    @property
    def is_cut_off(self) -> bool:
        """Whether the program has closed all descriptors, those of 0MQ included, as daemons do.

        0MQ aborts a process in which it finds that. So from then on its objects may neither be used nor closed.
        """
        return identity(self._sentinel) != self._stands_for

    @property
    def is_pending(self) -> bool:
        """Whether the connection is accepted, or still may be."""
        return self._socket is not None

    @property
    def is_expected(self) -> bool:
        """Whether an aggregator is about to start, as it stands by for one that leaves."""
        return self._address.path is not None and has_successor(self._address.path)

    def attend(self) -> bool:
        """Do what is due: connect, and handle events of the socket. False if the connection is lost or new."""
        self._require_own_process()
        now = time.monotonic()
        if self._socket is None:
            if now >= self._next:
                self._connect(now)
            return False
        while self._monitor is not None and self._monitor.poll(0):
            message = recv_monitor_message(self._monitor, zmq.NOBLOCK)
            self._note(message["event"], int(message["value"]), now)
        if self.is_pending and not self.ready:
            waited = now - self._begun
            if self._connected and waited > _ANSWER:
                self.fault = _MUTE
            elif not self._connected and waited > _ATTEMPT:
                self._lose(_FAR, now)
        return self.is_pending

    def hurry(self) -> None:
        """Make the next attempt at once."""
        self._next, self._pause = -math.inf, _AGAIN[0]

    def receive(self) -> Optional[bytes]:
        """Return the next message of the aggregator; None if there is none now."""
        if self.ready and self.allows(zmq.POLLIN):
            assert self._socket is not None
            return self._socket.recv(zmq.NOBLOCK)
        return None

    def allows(self, event: int) -> bool:
        """Whether the socket can do `event` (POLLIN, POLLOUT) without blocking. Call it before each use.

        Raises ReporterError in a forked child, where 0MQ would block for ever. Code gets there in greenlets, which go
        on in the child, and in a thread in which the producer of a gauge forked.
        """
        self._require_own_process()
        return self._socket is not None and bool(self._socket.poll(0, event))

    def send(self, frame: bytes) -> bool:
        """Send a frame. Return False if it cannot be sent now."""
        if not self.allows(zmq.POLLOUT):
            return False
        assert self._socket is not None
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Close the connection, and drop what has not been sent."""
        self._drop()
        self._context.term()
        os.close(self._sentinel)

    def _require_own_process(self) -> None:
        if os.getpid() != self._pid:
            raise ReporterError("This connection belongs to the parent process.")
        if self.is_cut_off:
            raise ReporterError("The program has closed the descriptors of this connection. A new one is made.")

    def _connect(self, now: float) -> None:
        if self._address.path is not None:
            fault = trust.socket_fault(self._address.path, self._trusted)
            if fault is not None:
                self._lose(fault, now)
                return
        try:
            self._keys = self._read_keys()
        except ReporterError as error:
            self._lose(str(error).rstrip("."), now)
            return
        try:
            socket = self._socket = self._made(zmq.XPUB)
            self._set_up(socket)
            self._attempts += 1
            socket.monitor(f"inproc://{self._attempts}", _EVENTS)
            monitor = self._monitor = self._made(zmq.PAIR)
            monitor.connect(f"inproc://{self._attempts}")
            self._begun = now
            self.fault = self.fault or _FAR
            socket.connect(self._address.text)
        except zmq.ZMQError as error:
            self._lose(str(error), now)

    def _made(self, kind: int) -> _LeftOpen:
        return cast("_LeftOpen", self._context.socket(kind, _LeftOpen))

    def _set_up(self, socket: _LeftOpen) -> None:
        # Pass on every subscription: an aggregator that starts or reconnects subscribes, and gets everything.
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        # Raise an error instead of dropping what cannot be sent: the next flush sends it.
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.SNDHWM, _HIGH_WATER_MARK)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        if self._address.path is None:
            socket.setsockopt(zmq.CONNECT_TIMEOUT, int(_ATTEMPT * 1000))
            socket.setsockopt(zmq.HANDSHAKE_IVL, int(_ATTEMPT * 1000))
            socket.setsockopt(zmq.HEARTBEAT_IVL, _BEAT)
            socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _BEATEN)
        keys = self._keys
        if keys is not None:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, keys.aggregator)

    def _note(self, kind: int, value: int, now: float) -> None:
        if kind == zmq.EVENT_CONNECTED:
            self._connected = True
            self._begun = now
            if self.fault == _FAR:
                self.fault = _MUTE
            if self._address.path is not None:
                self.peer = trust.peer(value)
                fault = trust.peer_fault(self.peer, self._trusted)
                if fault is not None:
                    self._lose(fault, now)
        elif kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.ready = True
            self.fault = None
            self._pause = _AGAIN[0]
        elif kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._lose(
                "it does not know the key of this worker: copy the worker's .key into the folder of the "
                "aggregator's keys",
                now,
            )
        elif kind & _FAILED and value in (errno.EAGAIN, errno.ETIMEDOUT):
            self._lose(_MUTE, now)
        elif kind & _FAILED and self._keys is not None:
            self._lose("it refuses this worker: it has other keys than this worker expects, or none", now)
        elif kind & _FAILED:
            self._lose("it refuses this worker: it requires keys, or is no aggregator", now)
        elif self.ready:
            self._lose("it is gone, or the network to it is down", now)
        elif self._connected:
            self._lose("the process that listens there closes the connection", now)
        else:
            self._lose("nobody listens there: start it", now)

    def _lose(self, fault: str, now: float) -> None:
        """Give up this attempt, and schedule the next one."""
        refused = self._connected and not self.ready
        self._drop()
        self.fault = fault
        self._next = now + (_REFUSED if refused else self._pause)
        self._pause = min(2 * self._pause, _AGAIN[1])

    def _drop(self) -> None:
        socket, self._socket = self._socket, None
        monitor, self._monitor = self._monitor, None
        self._connected = self.ready = False
        self.peer = None
        if socket is not None:
            socket.disable_monitor()
            socket.close(0)
        if monitor is not None:
            monitor.close(0)
