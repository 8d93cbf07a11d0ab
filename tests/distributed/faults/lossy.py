"""A way from workers to their aggregator on which frames are lost, repeated and overtaken, as on no real one."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Callable, List

import zmq

from tests.servers.processes import PATIENCE

LOST, REPEATED, HELD = 0.15, 0.15, 0.25
"""Of all frames. Those that are held come later, some of them much later."""

RELEASED = 0.2
"""How likely it is, with each frame that comes, that one that is held goes on."""

_PATIENCE = 20  # milliseconds to wait for a frame

Way = Callable[[bytes], List[bytes]]
"""Takes a frame and returns what goes on in its place."""


class Lossy:
    """Loses, repeats and holds frames at random."""

    def __init__(self, seed: int) -> None:
        """Do so in the same way for the same seed and the same frames."""
        self.lost = self.repeated = self.overtaken = 0
        """How many frames that has happened to."""
        self._random = random.Random(seed)
        self._held: List[bytes] = []

    def __call__(self, frame: bytes) -> List[bytes]:
        """Return what goes on."""
        chance = self._random.random()
        on = [frame]
        if chance < LOST:
            self.lost += 1
            on = []
        elif chance < LOST + REPEATED:
            self.repeated += 1
            on = [frame, frame]
        elif chance < LOST + REPEATED + HELD:
            self._held.append(frame)
            on = []
        if self._held and self._random.random() < RELEASED:
            self.overtaken += 1
            on.append(self._held.pop(self._random.randrange(len(self._held))))
        return on

    def remaining(self) -> List[bytes]:
        """Return what is held still, in any order."""
        remaining, self._held = self._held, []
        self._random.shuffle(remaining)
        return remaining


class Proxy(threading.Thread):
    """Stands between workers and their aggregator while it is entered."""

    def __init__(self, folder: Path, aggregator: str, way: Way) -> None:
        """Do nothing yet. `way` is what becomes of frames; what the aggregator says is handed on as it is."""
        super().__init__(daemon=True)
        self.address = f"ipc://{folder}/p"
        """Where workers connect to."""
        self.passed: List[bytes] = []
        """All frames that workers have sent."""
        self._aggregator = aggregator
        self._way = way
        self._extra: List[bytes] = []
        self._changes = threading.Lock()
        self._ready = threading.Event()
        self._stopping = threading.Event()

    def change(self, way: Way, extra: List[bytes]) -> None:
        """Let another thing become of frames from now on, and send some more."""
        with self._changes:
            self._way = way
            self._extra += extra

    def run(self) -> None:
        """Hand on what comes."""
        with zmq.Context() as context, context.socket(zmq.XSUB) as workers, context.socket(zmq.XPUB) as aggregator:
            for end in (workers, aggregator):
                end.setsockopt(zmq.LINGER, 0)
                end.setsockopt(zmq.RCVHWM, 0)
                end.setsockopt(zmq.SNDHWM, 0)
            aggregator.setsockopt(zmq.XPUB_VERBOSER, 1)
            workers.bind(self.address)
            aggregator.connect(self._aggregator)
            self._ready.set()
            while not self._stopping.is_set():
                if workers.poll(_PATIENCE):
                    frame = workers.recv()
                    self.passed.append(frame)
                    with self._changes:
                        on = self._way(frame)
                    for each in on:
                        aggregator.send(each)
                while aggregator.poll(0):
                    workers.send(aggregator.recv())
                with self._changes:
                    extra, self._extra = self._extra, []
                for each in extra:
                    aggregator.send(each)

    def __enter__(self) -> Proxy:
        """Begin."""
        self.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopping.set()
        self.join(PATIENCE)


def honest(frame: bytes) -> List[bytes]:
    """Hand on every frame."""
    return [frame]
