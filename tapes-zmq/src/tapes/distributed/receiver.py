"""The receiver: the thread of an aggregator that owns the sockets, and passes messages to the unified registry."""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Tuple

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from tapes.distributed import addresses, handover, upstream
from tapes.distributed.descriptors import Descriptors
from tapes.distributed.frames import LARGEST
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.own_metrics import REFUSED
from tapes.distributed.upstream import Word
from tapes.errors import ReporterError
from tapes.reporting.wakeup import Wakeup
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.distributed.addresses import Access, Address
    from tapes.distributed.keeper import Keeper
    from tapes.distributed.keys import AggregatorKeys
    from tapes.distributed.unified import UnifiedRegistry
    from tapes.distributed.workers import Worker

_ROUND = 0.2  # seconds of taking in messages before everything else has its turn
_PATIENCE = 100  # milliseconds to wait for a message
_YIELD = 0.01  # seconds
_TIDY = 0.5  # seconds between two checks for workers that are gone
_STALL = 0.5  # seconds without running after which the silence of workers in them is excused
_LAST = 1.0  # seconds for taking in what has arrived, at the end
# Frames of one peer in the receive queue, at most; more wait at the sender. If the queue is full when the peer hangs
# up, 0MQ drops what the system still holds. So while this process is suspended, a worker that ends loses nothing only
# if it has sent fewer frames than this.
_HIGH_WATER_MARK = 128
_HANDSHAKE_TIMEOUT = 5_000  # milliseconds for the handshake of a connection
_BEAT, _BEATEN = 3_000, 10_000  # interval and timeout of heartbeats over a network, in milliseconds
_EVENTS = 64  # requests and refusals handled at a time

_RELEASE = 1.0  # seconds in which an aggregator whose program was killed frees its port

UNKNOWN_KEY, OTHER_AGGREGATOR, NO_KEY = "unknown_key", "other_aggregator", "no_key"
NOT_0MQ, UNFINISHED = "not_0mq", "unfinished"
REASONS = (UNKNOWN_KEY, OTHER_AGGREGATOR, NO_KEY, NOT_0MQ, UNFINISHED)
"""Why a connection was refused: the values of the tag `why`, which docs/distributed.md explains."""

_FAULTS_OF_PEERS: Dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: OTHER_AGGREGATOR,
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: NO_KEY,
}

_ZAP = "inproc://zeromq.zap.01"
_HANDSHAKES = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_EVENTS_OF_PEERS = _HANDSHAKES | zmq.EVENT_ACCEPTED  # the last one wakes the loop to check its descriptors


class Receiver:
    """Receives the frames of workers until it is stopped or fails.

    Its own daemon thread makes, uses and closes the sockets.
    """

    def __init__(
        self,
        registry: UnifiedRegistry,
        address: Address,
        keys: Optional[AggregatorKeys] = None,
        keeper: Optional[Keeper] = None,
        access: Access = addresses.PRIVATE,
    ) -> None:
        self._registry = registry
        self._address = address
        self._left = None if address.path is None else handover.Left(address.path)
        self._keys = keys
        self._keeper = keeper
        self._access = access
        self._refused = {why: registry.counter(REFUSED, {"why": why}) for why in REASONS}
        self._refusals: dict[str, None] = {}
        self._leaving: List[Worker] = []
        self._tidied = 0.0
        self._stopping = False
        self._closing_port = False
        self._is_closed = False
        self._is_full = False
        self._crowds = Streak(LOGGER_NAME, f"The aggregator at {address}")
        self._new_keys: Optional[AggregatorKeys] = None
        self._ready = Wakeup()
        self._done = Wakeup()
        self.error: Optional[BaseException] = None
        """The error that ended it; None if there is none."""
        registry.ask = self._ask
        registry.dismiss = self._dismiss
        registry.confirm = self._leaving.append

    def start(self) -> None:
        """Start to receive. Raises ReporterError if the address cannot be used."""
        threading.Thread(target=self._run, name="tapes-aggregator", daemon=True).start()
        self._ready.wait()
        if self.error is not None:
            raise ReporterError(
                f"An aggregator cannot listen at {self._address}: {self.error}. Stop the program there, or choose "
                "another socket_addr."
            ) from self.error

    def use_keys(self, keys: AggregatorKeys) -> None:
        """Switch to new keys. If one has gone all connections are closed, and only workers with valid keys return."""
        self._new_keys = keys

    def close_port(self) -> None:
        """Free the port of a `tcp://` address. Its workers are disconnected, and go to the next aggregator there."""
        self._closing_port = self._address.path is None

    def stop(self, timeout: float) -> bool:
        """Take in what has arrived, and close the sockets. Return False if that takes more than `timeout` seconds."""
        self._stopping = True
        return self._done.wait(timeout)

    def _run(self) -> None:
        self._descriptors = Descriptors()
        context = zmq.Context()
        sockets: List[zmq.Socket[bytes]] = []
        try:
            zap = self._admission(context, sockets)
            while not self._stopping or not self._ready.is_set():
                socket = self._socket = self._subscription(context, sockets)
                monitor = socket.get_monitor_socket(_EVENTS_OF_PEERS)
                sockets.append(monitor)
                self._bind(socket)
                self._is_full = False
                self._ready.set()
                self._receive(socket, zap, monitor)
        except BaseException as error:  # noqa: BLE001 -- the starter raises it
            self.error = error
        finally:
            self._ready.set()
            for each in sockets:
                each.close(0)
            context.term()
            self._descriptors.give_back()
            self._done.set()

    def _bind(self, socket: zmq.Socket[bytes], *, patience: float = _RELEASE) -> None:
        """Bind the socket. At a port, wait until an aggregator that leaves has freed it."""
        if self._address.path is not None:
            socket.setsockopt(zmq.USE_FD, addresses.listening(self._address.path, self._access))
        deadline = time.monotonic() + patience
        while True:
            try:
                socket.bind(self._address.text)
                return
            except zmq.ZMQError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
            time.sleep(_YIELD)

    def _has_closed_for_new_keys(self, socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes]) -> bool:
        """Take the new keys, and close the sockets if a key is gone: 0MQ cannot close a single connection.

        Workers send again what is lost with them, as after a restart.
        """
        before, self._keys, self._new_keys = self._keys, self._new_keys, None
        if before is None or self._keys is None:
            return False
        if before[:2] == self._keys[:2] and before.admitted.keys() <= self._keys.admitted.keys():
            return False
        # First, because a thread of 0MQ that reports a connection to a closed monitor hangs, and keeps the port.
        socket.disable_monitor()
        self._close_port(socket)
        for each in (monitor, socket):
            each.close(0)
        return True

    def _close_port(self, socket: zmq.Socket[bytes]) -> None:
        """Accept no more connections. 0MQ closes the existing ones, too: workers come back, with their whole state."""
        with suppress(zmq.ZMQError):  # it may be closed already
            socket.unbind(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        if self._address.path is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._address.path)

    def _subscription(
        self, context: zmq.Context[zmq.Socket[bytes]], sockets: List[zmq.Socket[bytes]]
    ) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.SUB)
        sockets.append(socket)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        socket.setsockopt(zmq.RCVHWM, _HIGH_WATER_MARK)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_TIMEOUT)
        if self._address.path is None:  # only heartbeats reveal that a host or network is gone
            socket.setsockopt(zmq.HEARTBEAT_IVL, _BEAT)
            socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _BEATEN)
            socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.SUBSCRIBE, upstream.EVERYTHING)
        if self._keys is not None:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self._keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)
        return socket

    def _admission(
        self, context: zmq.Context[zmq.Socket[bytes]], sockets: List[zmq.Socket[bytes]]
    ) -> Optional[zmq.Socket[bytes]]:
        """Return the socket on which 0MQ asks whether to admit a key (ZeroMQ RFC 27); None if everybody may connect."""
        if self._keys is None:
            return None
        zap = context.socket(zmq.REP)
        sockets.append(zap)
        zap.setsockopt(zmq.LINGER, 0)
        zap.bind(_ZAP)
        return zap

    def _receive(self, socket: zmq.Socket[bytes], zap: Optional[zmq.Socket[bytes]], monitor: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        for each in (socket, zap, monitor):
            if each is not None:
                poller.register(each, zmq.POLLIN)
        greenlets = getattr(time.sleep, "__module__", "time") != "time"  # patched by gevent: this thread is a greenlet
        stalls = _Stalls()
        end = math.inf
        while True:
            stopping = self._stopping  # read before the last messages are taken in
            ready = dict(poller.poll(0 if stopping or greenlets else _PATIENCE))
            if greenlets and not stopping:
                time.sleep(_YIELD)  # lets other greenlets run, which a wait in 0MQ would not
            if zap is not None and zap in ready:
                _drain(zap, self._admit)
            if monitor in ready:
                _drain(monitor, self._note_refusal)
            if self._closing_port:
                self._closing_port, self._is_closed = False, True
                self._close_port(socket)
            if self._new_keys is not None and self._has_closed_for_new_keys(socket, monitor):
                return
            drained = self._take(socket) if socket in ready else True
            seen = self._registry.clock.monotonic()
            stalled = stalls.found()
            if stalled > _STALL:
                self._registry.ignore_stall(stalled)
            self._do_periodic_work(seen)
            self._limit_connections(socket)
            if stopping:
                end = min(end, time.monotonic() + _LAST)
                if drained or time.monotonic() >= end:
                    return

    def _do_periodic_work(self, seen: float) -> None:
        """Do periodic work, however many messages are waiting. `seen` is the time of the last stall check."""
        now = time.monotonic()
        if self._keeper is not None:
            self._keeper.flush()
        if now - self._tidied >= _TIDY:
            self._tidied = now
            self._registry.tidy(seen)
            self._take_what_was_left()
            if self._keeper is not None:
                self._keeper.keep_when_due(self._registry)
        if self._leaving:
            self._confirm_farewells()

    def _limit_connections(self, socket: zmq.Socket[bytes]) -> None:
        """Close all connections when few descriptors are left, most likely because of silent strangers.

        Workers come back as soon as enough descriptors are free, and send what is lost again.
        """
        descriptors = self._descriptors
        if not self._is_full and not self._is_closed and descriptors.are_short():
            self._is_full = True
            self._close_port(socket)
            descriptors.give_back()
            self._crowds.failed(
                f"has nearly as many connections and files as the {descriptors.limit} that it may have: it closes "
                "them, and accepts no more until there are fewer. Raise the limit (ulimit -n), if they are workers."
            )
        elif self._is_full and not self._is_closed and descriptors.are_plenty():
            try:
                self._bind(socket, patience=0.0)
            except (zmq.ZMQError, OSError):
                return  # another process has the address meanwhile: the next round tries again, so do not wait
            self._is_full = False
            descriptors.keep()
            self._crowds.succeeded()

    def _take(self, socket: zmq.Socket[bytes]) -> bool:
        """Take in messages, of all peers in turn as 0MQ returns them. Return True when none is left."""
        registry, keeper = self._registry, self._keeper
        apply = registry.apply
        until = time.monotonic() + _ROUND
        while time.monotonic() < until:
            try:
                message = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return True
            if socket.getsockopt(zmq.RCVMORE):
                socket.recv_multipart()
                message = b""  # invalid: a frame is a single-part message
            if apply(message) and keeper is not None:
                keeper.add_frame(registry, message)
        return False

    def _take_what_was_left(self) -> None:
        """Take in the last reports of workers that no aggregator has confirmed."""
        if self._left is None:
            return
        registry, keeper = self._registry, self._keeper
        for frames in self._left.take():
            for frame in frames:
                if registry.apply(frame) and keeper is not None:
                    keeper.add_frame(registry, frame)
            if keeper is not None:
                keeper.flush()

    def _confirm_farewells(self) -> None:
        """Confirm to leaving workers that all their frames are taken in, and in the journal if there is one.

        If the journal cannot be written, that is logged already, and the workers need not wait.
        """
        leaving, self._leaving[:] = self._leaving[:], []
        for worker in leaving:
            self._send(Word(worker.identity, upstream.FAREWELL, (worker.session, worker.sequence)))

    def _ask(self, worker: Worker) -> None:
        self._send(Word(worker.identity, upstream.BEGIN_ANEW))

    def _dismiss(self, identity: bytes, position: Tuple[int, int]) -> None:
        self._send(Word(identity, upstream.BEGIN_AS_ANOTHER, position))

    def _send(self, word: Word) -> None:
        topic = word.topic()
        self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._socket.setsockopt(zmq.UNSUBSCRIBE, topic)

    def _admit(self, zap: zmq.Socket[bytes]) -> None:
        """Answer a request of 0MQ: admit a public key that is in the folder of the keys."""
        request = zap.recv_multipart()
        if len(request) < 7 or self._keys is None:
            zap.send_multipart([b"1.0", request[1] if len(request) > 1 else b"", b"500", b"Bad request", b"", b""])
            return
        _, number, _, address, _, mechanism, key = request[:7]
        admitted = mechanism == b"CURVE" and z85.encode(key) in self._keys.admitted
        if not admitted:
            peer = f"{address.decode('ascii', 'replace')}, with a key that is not in the folder of its keys"
            self._refuse(UNKNOWN_KEY, peer)
        status = (b"200", b"OK") if admitted else (b"400", b"This key may not come")
        zap.send_multipart([b"1.0", number, *status, b"", b""])

    def _note_refusal(self, monitor: zmq.Socket[bytes]) -> None:
        event = recv_monitor_message(monitor)
        kind, number = event["event"], event["value"]
        if kind == zmq.EVENT_ACCEPTED:
            return
        hung_up = kind == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and number in (0, errno.ECONNRESET, errno.EPIPE)
        if hung_up and self._keys is None:
            return  # a killed worker hangs up so; with keys, most likely one that has none does
        if kind != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            fault = _FAULTS_OF_PEERS.get(number, NOT_0MQ)
            why = UNFINISHED if kind == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL else fault
            self._refuse(why, "a peer that does not speak 0MQ, or has no key, or that of another aggregator")

    def _refuse(self, why: str, peer: str) -> None:
        """Count a refused connection, and log it once for each description `peer`."""
        self._refused[why].increment()
        if peer not in self._refusals and len(self._refusals) < 1000:
            self._refusals[peer] = None
            import logging

            with suppress(Exception):  # of logging handlers
                logging.getLogger(LOGGER_NAME).warning("The aggregator at %s has refused %s.", self._address, peer)


class _Stalls:
    """Measures for how long this thread should have run but did not: its process was suspended, or its machine busy."""

    def __init__(self) -> None:
        self._wall, self._processor = time.monotonic(), time.thread_time()

    def found(self) -> float:
        """Return the seconds since the last call in which it did not compute, waits for messages included."""
        wall, processor = time.monotonic(), time.thread_time()
        stalled = (wall - self._wall) - (processor - self._processor)
        self._wall, self._processor = wall, processor
        return stalled


def _drain(socket: zmq.Socket[bytes], deal: Callable[[zmq.Socket[bytes]], None]) -> None:
    """Handle the messages that wait at a socket, but only a few at a time."""
    for _ in range(_EVENTS):
        deal(socket)
        if not socket.poll(0):
            return
