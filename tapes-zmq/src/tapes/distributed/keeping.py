"""What an aggregator knows, kept in a file, so that it outlives a restart."""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Tuple, Union
from zlib import crc32

from tapes.distributed import files, records
from tapes.distributed.frames import FrameError
from tapes.distributed.processes import machine
from tapes.distributed.records import CODECS, Reader, Series
from tapes.distributed.unified import LOGGER_NAME, UnifiedRegistry
from tapes.errors import ReporterError
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.distributed.workers import Position

MAGIC = b"tapes-state"
VERSION = 1

_HEAD = struct.Struct("<11sBI")
_U32 = struct.Struct("<I")
_GONE_WORKER = struct.Struct("<16sQI")
_WORKER = struct.Struct("<16sQId")

_INTERVAL = 5.0  # seconds between two writings
_SHARE = 20  # times that a writing took, which have to pass before the next
_GONE = 100  # workers that are gone and remembered
_SOON = 0.2  # seconds after which what a worker has left behind is written


class Kept(NamedTuple):
    """The content of a file."""

    identity: bytes
    """What identifies the registry to another aggregator."""
    machine: str
    """The running system whose clock the times are of."""
    gone: List[Tuple[bytes, Position]]
    """The last workers that are gone, of which a frame may still come, and what was known of each."""
    workers: List[Tuple[bytes, records.Hello, Position, float]]
    """Identity, what it has said of itself, the next of its frames, and up to when everything was known."""
    series: List[Tuple[Series, Any, List[Tuple[int, Any]]]]
    """Each with the merged state, and the states that workers, by their place in `workers`, have told besides."""


class Keeper:
    """Writes what a registry knows to a file, which is always whole: a new one takes the place of the old one.

    Gauges are not kept, as they are those of live workers, who tell them again. Not thread-safe.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._streak = Streak(LOGGER_NAME, f"The state of the aggregator in {self.path}")
        self._next = 0.0
        self._soon = 0.0
        self._gone = 0

    def restore(self, registry: UnifiedRegistry) -> bool:
        """Fill a new registry with what was kept, and return whether there was anything.

        Raises ReporterError if the file cannot be used, or if none can be written in its place.
        """
        content = None
        try:
            with open(files.opened(self.path, os.O_RDONLY), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            pass  # nothing has been kept yet
        except OSError as error:
            raise ReporterError(f"state_path: {self.path} cannot be read: {error.strerror}.") from error
        if content is not None:
            try:
                kept = decode(content)
            except FrameError as error:
                raise ReporterError(
                    f"state_path: {self.path} cannot be used: {error} Move it away to begin from zero."
                ) from error
            fill(registry, kept)
        try:
            self._write(encode(registry))
        except OSError as error:
            raise ReporterError(f"state_path: {self.path} cannot be written: {error.strerror}.") from error
        return content is not None

    def keep_when_due(self, registry: UnifiedRegistry) -> None:
        """Write, if the last time is long enough ago, or if a worker is gone since."""
        now = time.monotonic()
        if now >= self._next or (registry.gone != self._gone and now >= self._soon):
            self.keep(registry)

    def keep(self, registry: UnifiedRegistry) -> bool:
        """Write. Return whether that was possible; if not, it is logged once in a row."""
        start = time.monotonic()
        self._gone = registry.gone
        try:
            self._write(encode(registry))
        except OSError as error:
            self._streak.failed(f"cannot be written: {error.strerror}. It will be tried again.")
            return False
        finally:
            took = time.monotonic() - start
            self._next = start + took + max(_INTERVAL, _SHARE * took)
            self._soon = start + took + max(_SOON, took)
        self._streak.succeeded()
        return True

    def _write(self, content: bytes) -> None:
        temporary = f"{self.path}.new"
        try:
            with open(files.created(temporary), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def encode(registry: UnifiedRegistry) -> bytes:
    """Write what a registry knows of its workers."""
    workers = list(registry.workers.values())
    places: Dict[object, int] = {worker: place for place, worker in enumerate(workers)}
    gone = registry.last_gone(_GONE)
    parts = [registry.identity, _framed(machine().encode()), _U32.pack(len(gone))]
    parts += [_GONE_WORKER.pack(identity, *position) for identity, position in gone]
    parts.append(_U32.pack(len(workers)))
    for worker in workers:
        parts.append(_WORKER.pack(worker.identity, *worker.known, worker.settled))
        parts.append(_framed(records.hello(worker.hello)))
    kept = [(merged, CODECS[merged.kind]) for merged in registry.shared() if merged.kind != "gauge"]
    parts.append(_U32.pack(len(kept)))
    for merged, codec in kept:
        state, shares = merged.kept()
        parts.append(_framed(records.series(Series(0, merged.kind, "sum", merged.name, merged.tags))))
        parts.append(_framed(codec.write(state, None)))
        parts.append(_U32.pack(len(shares)))
        for source, share in shares:
            parts.append(_U32.pack(places[source]))
            parts.append(_framed(codec.write(share, None)))
    body = b"".join(parts)
    return _HEAD.pack(MAGIC, VERSION, crc32(body)) + body


def decode(content: bytes) -> Kept:
    """Read what was kept. Raises FrameError for anything else."""
    if len(content) < _HEAD.size:
        raise FrameError("It is too short.")
    magic, version, checksum = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    if magic != MAGIC:
        raise FrameError("It is no state of an aggregator.")
    if version != VERSION:
        raise FrameError(f"It is of version {version}, and this reads version {VERSION}.")
    if checksum != crc32(body):
        raise FrameError("It is damaged: its checksum is wrong.")
    reader = Reader(body, 0, len(body))
    identity = reader.bytes(16)
    system = reader.bytes(reader.take(_U32)[0]).decode()
    gone = []
    for _ in range(reader.take(_U32)[0]):
        identity_gone, session, sequence = reader.take(_GONE_WORKER)
        gone.append((identity_gone, (session, sequence)))
    workers = []
    for _ in range(reader.take(_U32)[0]):
        worker, session, sequence, settled = reader.take(_WORKER)
        workers.append((worker, records.read_hello(_record(reader)), (session, sequence), settled))
    series = []
    for _ in range(reader.take(_U32)[0]):
        new = records.read_series(_record(reader))
        codec = CODECS[new.kind]
        state = codec.whole(codec.read(_part(reader)))
        shares = []
        for _ in range(reader.take(_U32)[0]):
            (place,) = reader.take(_U32)
            shares.append((place, codec.whole(codec.read(_part(reader)))))
        series.append((new, state, shares))
    reader.finish()
    return Kept(identity, system, gone, workers, series)


def fill(registry: UnifiedRegistry, kept: Kept) -> None:
    """Put what was kept into a new registry."""
    registry.identity = kept.identity
    registry.forget(kept.gone)
    same_clock = kept.machine == machine()
    workers = []
    for identity, hello, known, settled in kept.workers:
        worker = registry.expect(identity, hello)
        worker.known, worker.settled = known, settled
        worker.session, worker.sequence = known
        workers.append(worker)
    for new, state, shares in kept.series:
        merged = registry.merged(new, new.tags)
        merged.restore(state if same_clock else CODECS[new.kind].timeless(state))
        for place, share in shares:
            merged.restore_share(workers[place], share)
            workers[place].unclaimed.append(merged)
    if not same_clock:  # the system was booted since
        for worker in workers:
            if worker.hello.machine == kept.machine:
                registry.retire(worker)


def _framed(content: bytes) -> bytes:
    return _U32.pack(len(content)) + content


def _part(reader: Reader) -> Reader:
    (length,) = reader.take(_U32)
    return Reader(reader.bytes(length), 0, length)


def _record(reader: Reader) -> Reader:
    part = _part(reader)
    part.bytes(5)  # its type and length
    return part
