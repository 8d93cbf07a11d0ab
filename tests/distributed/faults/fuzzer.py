"""Sends what nobody should to an aggregator: `fuzzer.py ADDRESS SEED WHAT`.

WHAT is `messages`, which are no frames, or `connections`, which cannot last. It goes on until it reads the end of its
input. Told is then, as JSON, how much of each kind it has sent.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import threading
from typing import Callable, Dict, List

import zmq

from tapes.distributed import frames, records
from tapes.distributed.frames import END, LARGEST, Frame
from tapes.distributed.publishing import Publisher, hello
from tapes.registry import Registry

BATCH = 20  # messages
PAUSE = 0.002  # seconds between two batches
GREETING = bytes([0xFF, *bytes(8), 0x7F, 3, 0]) + b"NULL".ljust(20, b"\0") + bytes(32)
"""With which a connection of 0MQ begins. See ZeroMQ RFC 23."""

Message = List[bytes]


class Fuzz:
    """Makes messages, none of which is a frame."""

    def __init__(self, seed: int) -> None:
        """Make the same ones for the same seed."""
        self._random = random.Random(seed)
        self._session = 0
        registry = Registry()
        for number in range(20):
            registry.timer("fuzz", {"number": str(number)}).update(number)
            registry.counter(f"fuzzed.{number}").increment(1_000_000)
        self._frame = b"".join(Publisher(hello(1.0, settles=True)).flush(registry))
        self._hello = records.hello(hello(1.0, settles=True))
        self.kinds: Dict[str, Callable[[], Message]] = {
            "empty": lambda: [b""],
            "random": lambda: [self._bytes(2000)],
            "random after the magic": lambda: [frames.MAGIC + self._bytes(2000)],
            "cut off": lambda: [self._frame[: self._random.randrange(1, len(self._frame))]],
            "too long": lambda: [self._frame + self._bytes(100) + b"\0"],
            "one bit changed": self._flipped,
            "of a later version": self._of_later_version,
            "with unknown flags": lambda: [self._encoded(self._hello, flags=0x80)],
            "of no time": lambda: [self._encoded(self._hello, time=float("nan"))],
            "with records of nobody": lambda: [self._encoded(self._bytes(200))],
            "with records that are none": lambda: [self._encoded(self._hello + b"\x07" + self._bytes(200))],
            "of several parts": lambda: [self._frame, self._bytes(50), b""],
            "large": lambda: [bytes(LARGEST - 1)],
        }
        self._weights = [20 if name == "large" else 500 for name in self.kinds]

    def names(self, number: int) -> List[str]:
        """Choose so many kinds."""
        return self._random.choices(list(self.kinds), self._weights, k=number)

    def _bytes(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randrange(1, most))

    def _flipped(self) -> Message:
        place = self._random.randrange(len(self._frame))
        changed = self._frame[place] ^ (1 << self._random.randrange(8))
        return [self._frame[:place] + bytes([changed]) + self._frame[place + 1 :]]

    def _of_later_version(self) -> Message:
        version = frames.VERSION
        frames.VERSION = version + self._random.randrange(1, 100)
        try:
            return [self._encoded(self._hello)]
        finally:
            frames.VERSION = version

    def _encoded(self, body: bytes, *, flags: int = END, time: float = 1.0) -> bytes:
        """Return a frame whose checksum is right, that begins a session of the fuzzer."""
        self._session += 1
        return frames.encode(Frame(b"the fuzzer's own", self._session, 0, time, flags, body))


class Watch:
    """What the test has to say: stop by a line, and hang up by an end."""

    def __init__(self) -> None:
        """Wait for it from now on."""
        self.stopping, self._leaving = threading.Event(), threading.Event()
        threading.Thread(target=self._hear, daemon=True).start()

    def report(self, sent: Dict[str, int]) -> None:
        """Say what has been sent, and stay connected until told to go.

        With a peer that hangs up 0MQ drops what it has not read of it, if as much waits as may.
        """
        sys.stdout.write(f"{json.dumps(sent)}\n")
        sys.stdout.flush()
        self._leaving.wait()

    def _hear(self) -> None:
        sys.stdin.readline()
        self.stopping.set()
        sys.stdin.read()
        self._leaving.set()


def send_messages(address: str, seed: int, watch: Watch) -> None:
    """Send messages that are no frames."""
    fuzz = Fuzz(seed)
    sent = dict.fromkeys(fuzz.kinds, 0)
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.setsockopt(zmq.SNDHWM, 0)
        publisher.setsockopt(zmq.LINGER, 0)
        publisher.connect(address)
        publisher.recv()  # the aggregator wants them
        while not watch.stopping.wait(PAUSE):
            for name in fuzz.names(BATCH):
                publisher.send_multipart(fuzz.kinds[name]())
                sent[name] += 1
        watch.report(sent)


def make_connections(address: str, seed: int, watch: Watch) -> None:
    """Send what is larger than anything that is taken, what is not even 0MQ, and nothing at all."""
    chance = random.Random(seed)
    sent = {"too large": 0, "not 0MQ": 0, "HTTP": 0, "cut off": 0, "silent": 0}
    with contextlib.ExitStack() as stack:
        while not watch.stopping.wait(PAUSE):
            with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
                publisher.setsockopt(zmq.LINGER, 0)
                publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
                publisher.connect(address)
                publisher.recv()
                publisher.send(bytes(LARGEST + chance.randrange(1, 1000)))
                publisher.recv()  # the aggregator has hung up, so that it had to connect again
                sent["too large"] += 1
            for kind, content in (
                ("not 0MQ", chance.randbytes(chance.randrange(1, 1000))),
                ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
                ("cut off", GREETING[: chance.randrange(1, len(GREETING))]),
                ("silent", b""),
            ):
                stranger = stack.enter_context(socket.socket(socket.AF_UNIX))
                stranger.connect(address[len("ipc://") :])
                stranger.send(content)
                if chance.random() < 0.7:  # others stay
                    stranger.close()
                sent[kind] += 1
        watch.report(sent)


def main(address: str, seed: int, what: str) -> None:
    """Send."""
    send = {"messages": send_messages, "connections": make_connections}[what]
    send(address, seed, Watch())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
