"""The format of the state file, in which an aggregator keeps its totals over a restart."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple
from zlib import crc32

from tapes.distributed import records
from tapes.distributed.frames import FrameError
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.processes import machine
from tapes.distributed.records import Series
from tapes.distributed.unknown_kinds import NOBODY, UnknownShare
from tapes.distributed.workers import Overflowed, Part
from tapes.errors import MetricError
from tapes.kinds.kind import kind_named
from tapes.name_tree import OVERFLOW
from tapes.streak import Streak
from tapes.wire import Reader, framed

if TYPE_CHECKING:
    from tapes.distributed.merging import Merged
    from tapes.distributed.unified import UnifiedRegistry
    from tapes.distributed.workers import Position, Target, Worker
    from tapes.facts import Facts
    from tapes.kinds.kind import Kind

MAGIC = b"tapes-state"
VERSION = 1

_HEAD = struct.Struct("<11sBI")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_PAIR = struct.Struct("<II")
_GONE_WORKER = struct.Struct("<16sQI")
_WORKER = struct.Struct("<16sQIBd")
_NOWHERE = (1 << 32) - 1  # the place of a series that is not in the file

_FAULTS = Streak(LOGGER_NAME, "The aggregator")

_GONE = 100  # how many of the retired workers whose end is known are remembered


class KeptWorker(NamedTuple):
    """A worker in a file."""

    identity: bytes
    hello: records.Hello
    """Its hello."""
    known: Position
    """The position of its next frame."""
    in_step: bool
    """Whether no frame of its session was missing."""
    settled: float
    """The time, by its clock, up to which everything was known."""
    numbers: List[Tuple[int, int]]
    """The series of its session: the number of each, and its place in `Kept.series`."""


class KeptShare(NamedTuple):
    """The share of a worker in a series."""

    worker: int
    """The place of the worker in `Kept.workers`."""
    number: int
    """In an overflow series: the number of the worker's series that is a part of it."""
    state: Any


class KeptSeries(NamedTuple):
    """A series in a file."""

    series: Series
    merged: Any
    """The state of what is merged for good; None of kinds that do not last, which are not kept."""
    shares: List[KeptShare]
    record: bytes = b""
    """The record of a series of an unknown kind, of which all states are the bytes that they are written as."""


class Kept(NamedTuple):
    """The content of a state file."""

    identity: bytes
    """The identity of the registry to an aggregator that it publishes to."""
    machine: str
    """The running system whose clock the times are from."""
    gone: List[Tuple[bytes, Position]]
    """Retired workers from which a frame may still come, and the position up to which each was known."""
    workers: List[Optional[KeptWorker]]
    """None stands for an invalid one."""
    series: List[Optional[KeptSeries]]
    """None stands for an invalid one."""
    generation: int
    """The generation of the journal that goes on from this state."""
    facts: List[Optional[Tuple[str, Facts]]]
    """The facts of names. None stands for invalid ones."""


def encode(registry: UnifiedRegistry, generation: int = 0, *, system: Optional[str] = None) -> bytes:
    """Encode the state of a registry, with times by the clock of `system` (default: this one)."""
    workers = list(registry.workers.values())
    shared = registry.places.shared()
    worker_places: Dict[object, int] = {worker: place for place, worker in enumerate(workers)}
    places: Dict[object, int] = {merged: place for place, merged in enumerate(shared)}
    gone = registry.retired.to_remember(_GONE)
    parts = [registry.identity, _U64.pack(generation), framed((system or machine()).encode())]
    parts.append(_U32.pack(len(gone)))
    parts += [_GONE_WORKER.pack(identity, *position) for identity, position in gone]
    parts.append(_U32.pack(len(workers)))
    for worker in workers:
        parts.append(_WORKER.pack(worker.identity, *worker.known, worker.in_step, worker.settled))
        parts.append(framed(records.hello(worker.hello)))
        parts.append(_U32.pack(len(worker.series)))
        for number, series in worker.series.items():
            target = series[0] if series else None
            merged = target.merged if isinstance(target, Overflowed) else target
            parts.append(_PAIR.pack(number, places.get(merged, _NOWHERE)))
    unknown_kinds = list(
        registry.unknown_kinds.entries({worker.identity: place for place, worker in enumerate(workers)})
    )
    parts.append(_U32.pack(len(shared) + len(unknown_kinds)))
    for merged in shared:
        parts.append(_series(merged, worker_places))
    for record, state, shares in unknown_kinds:
        parts += [framed(record), framed(state), _U32.pack(len(shares))]
        parts += [_PAIR.pack(who, number) + framed(share) for who, number, share in shares]
    described = [records.facts(*said) for said in registry.all_facts().items() if not records.is_internal(said[0])]
    if described:
        parts += [_U32.pack(len(described)), *map(framed, described)]
    body = b"".join(parts)
    return _HEAD.pack(MAGIC, VERSION, crc32(body)) + body


def _series(merged: Merged, places: Dict[object, int]) -> bytes:
    """Encode a series. On an error encode an invalid one, which is left out when the file is read."""
    try:
        kind = merged.kind
        parts = [framed(records.series(Series(0, kind, merged.merge, merged.name, merged.tags)))]
        if not kind.lasts:
            return b"".join([*parts, framed(b""), _U32.pack(0)])
        state, told = merged.kept()
        shares = []
        for source, share in told:
            who, number = (source.worker, source.number) if isinstance(source, Part) else (source, _NOWHERE)
            if who in places:  # skips a retired worker whose state could not be merged
                shares.append(_PAIR.pack(places[who], number) + framed(kind.write(share, None)))
        parts += [framed(kind.write(state, None)), _U32.pack(len(shares)), *shares]
    except Exception as error:  # noqa: BLE001 -- it is logged
        _FAULTS.failed(f"cannot keep {merged!r}. It keeps all others.", error)
        return framed(bytes(5)) + framed(b"") + _U32.pack(0)
    return b"".join(parts)


def decode(content: bytes) -> Kept:
    """Decode a state file. Raises FrameError if it is not valid."""
    if len(content) < _HEAD.size:
        raise FrameError("It is too short.")
    magic, version, checksum = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    if magic != MAGIC:
        raise FrameError("It is not the state of an aggregator.")
    if version != VERSION:
        raise FrameError(f"It is of version {version}, and this reads version {VERSION}.")
    if checksum != crc32(body):
        raise FrameError("It is damaged: its checksum is wrong.")
    reader = Reader(body, 0, len(body))
    identity = reader.bytes(16)
    (generation,) = reader.take(_U64)
    system = reader.bytes(reader.take(_U32)[0]).decode()
    gone = []
    for _ in range(reader.take(_U32)[0]):
        identity_gone, session, sequence = reader.take(_GONE_WORKER)
        gone.append((identity_gone, (session, sequence)))
    workers = [_kept_worker(reader) for _ in range(reader.take(_U32)[0])]
    series = [_kept_series(reader, len(workers)) for _ in range(reader.take(_U32)[0])]
    # The table of facts is missing if there are none, and in files of versions without facts.
    is_described = reader.position < len(body)
    facts = [_kept_facts(reader) for _ in range(reader.take(_U32)[0])] if is_described else []
    reader.finish()
    return Kept(identity, system, gone, workers, series, generation, facts)


def _kept_worker(reader: Reader) -> Optional[KeptWorker]:
    """Read a worker. Return None if its hello is invalid."""
    identity, session, sequence, in_step, settled = reader.take(_WORKER)
    block = _inside(_block(reader))
    numbers = [reader.take(_PAIR) for _ in range(reader.take(_U32)[0])]
    try:
        hello = records.read_hello(block)
    except FrameError:
        return None
    return KeptWorker(identity, hello, (session, sequence), bool(in_step), settled, numbers)


def _kept_series(reader: Reader, workers: int) -> Optional[KeptSeries]:
    """Read a series. Return None if there is something about it that cannot be."""
    record, merged = _block(reader), _block(reader)
    parts = [(reader.take(_PAIR), _block(reader)) for _ in range(reader.take(_U32)[0])]
    parts = [part for part in parts if part[0][0] < workers]
    try:
        new = records.read_series(_inside(record))
        kind = kind_named(new.kind)
        if kind is None:
            return KeptSeries(new, merged, [KeptShare(who, part, block) for (who, part), block in parts], record)
        if not kind.lasts:
            return KeptSeries(new, None, [])
        shares = [KeptShare(who, part, _state(kind, block)) for (who, part), block in parts]
        return KeptSeries(new, _state(kind, merged), shares)
    except Exception:  # noqa: BLE001 -- it is counted. A kind of others may raise anything.
        return None


def _kept_facts(reader: Reader) -> Optional[Tuple[str, Facts]]:
    """Read what was said of a name. Return None if that cannot be."""
    block = _inside(_block(reader))
    try:
        return records.read_facts(block)
    except FrameError:
        return None


def _state(kind: Kind, block: bytes) -> Any:
    reader = Reader(block, 0, len(block))
    state = kind.full_state(kind.read(reader))
    reader.finish()
    return state


def fill(registry: UnifiedRegistry, kept: Kept, *, goes_on: bool = False) -> None:
    """Restore a state into a new registry.

    With `goes_on` the registry continues the sessions of the workers, and can take in the frames that came next.
    Otherwise each live worker has to begin a new session.
    """
    registry.identity = kept.identity
    registry.retired.remember(kept.gone)
    same_clock = goes_on or kept.machine == machine()
    workers: List[Optional[Worker]] = []
    for each in kept.workers:
        worker = None if each is None else registry.expect(each.identity, each.hello)
        if worker is not None and each is not None:
            worker.known, worker.settled = each.known, each.settled
            worker.session, worker.sequence = each.known
        workers.append(worker)
    series = [() if each is None else _filled(registry, each, workers, goes_on, same_clock) for each in kept.series]
    for said in kept.facts:
        if said is not None:
            registry.describe(*said)
    for each, worker in zip(kept.workers, workers):
        if each is None or worker is None:
            continue
        named = {
            number: _target(worker, number, series[place])
            for number, place in each.numbers
            if place < len(series) and series[place]
        }
        if goes_on:
            worker.in_step = each.in_step
            for number, _ in each.numbers:
                worker.place(number, named.get(number, ()))
            claimed = {target for targets in named.values() for target in targets}
            worker.unclaimed = [target for target in worker.unclaimed if target not in claimed]
        else:
            worker.earlier = {targets[0]: number for number, targets in named.items()}
            if not same_clock and worker.hello.machine == kept.machine:  # the system has rebooted since
                registry.retire(worker)
    dropped = kept.series.count(None) + kept.workers.count(None) + kept.facts.count(None)
    if dropped:
        logging.getLogger(LOGGER_NAME).warning(
            "The state of the aggregator has %d invalid series or workers: they are left out.", dropped
        )


def _filled(
    registry: UnifiedRegistry, kept: KeptSeries, workers: List[Optional[Worker]], goes_on: bool, same_clock: bool
) -> Tuple[Target, ...]:
    """Restore one series into a registry, and return it; nothing if it cannot be restored."""
    new = kept.series
    kind = None if kept.record else kind_named(new.kind)
    if kind is None:
        _keep_unknown_kind(registry, kept, workers)
        return ()
    if not kind.lasts and not goes_on:
        return ()
    is_shared = new.tags != OVERFLOW or any(share.number == _NOWHERE for share in kept.shares)
    try:
        merged = registry.places.merged(new, new.tags) if is_shared else registry.places.overflow_series(new)
    except MetricError:  # a name of another version, invalid in this one
        return ()
    if kind.lasts:
        state = kept.merged if same_clock else kind.timeless(kept.merged)
        if kind.code is None:  # an aggregator that did not know it has kept it in several parts
            state = kind.merge([merged.kept()[0], state])
        merged.restore(state)
    for place, number, state in kept.shares:
        worker = workers[place]
        if worker is None:
            continue
        if number == _NOWHERE:
            merged.restore_share(worker, state)
            worker.unclaimed.append(merged)
        else:
            overflowed = worker.overflow(number, merged)
            merged.restore_share(overflowed.part, state)
            worker.unclaimed.append(overflowed)
    return (merged,)


def _keep_unknown_kind(registry: UnifiedRegistry, kept: KeptSeries, workers: List[Optional[Worker]]) -> None:
    """Keep a series of an unknown kind as it is, for another start."""
    shares = []
    for place, number, state in kept.shares:
        worker = workers[place]
        shares.append(UnknownShare(NOBODY if worker is None else worker.identity, number, state))
    is_kept = registry.unknown_kinds.keep(kept.record, kept.merged, shares)
    registry.places.leave_out_kind(kept.series.kind, is_kept=is_kept)


def _target(worker: Worker, number: int, series: Tuple[Target, ...]) -> Tuple[Target, ...]:
    """Return the targets of the states with this number: a part of an overflow series, or `series`."""
    overflowed = worker.overflowed.get(number)
    return series if overflowed is None else (overflowed,)


def _block(reader: Reader) -> bytes:
    (length,) = reader.take(_U32)
    return reader.bytes(length)


def _inside(record: bytes) -> Reader:
    """Return a reader of the payload of a record."""
    return Reader(record, 5, len(record))  # after its type and length
