"""Records: states of metrics as bytes, and the descriptions of workers and series.

Pure, except that reading a series imports its kind, if a plugin provides it.

`docs/wire.md` has every field. A record that cannot be read raises FrameError, and so do values that no recording can
have produced. Everything that is written can be read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, List, NamedTuple, Tuple

from tapes.distributed.frames import FrameError, record
from tapes.distributed.known import known_kind
from tapes.errors import MetricError
from tapes.facts import MAX_DESCRIPTION_BYTES, MAX_UNIT_BYTES, NO_FACTS, Facts, check_facts
from tapes.kinds.kind import BY_CODE, LONGEST_NAME, is_name, kind_named
from tapes.kinds.slices import PIECE
from tapes.naming import MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_TAGS, MAX_VALUE_BYTES, check_name, check_series
from tapes.state.gauge import MERGES
from tapes.wire import Reader, text

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind
    from tapes.naming import Tags

HELLO = 1
SERIES = 2
REMOVED = 3
FACTS = 4
STATE = 10
"""The types of records. The type of a state is `STATE` plus the code of its kind."""

NAMED_STATE = 15
"""The type of states of all kinds without a code. The series tells the kind."""

NAMED = 255
"""Stands in a series record for the code of a kind that has none. The name of the kind follows."""

RESERVED = "tapes.aggregator."
"""The prefix of an aggregator's metrics about itself. Workers may not use it."""

OVERFLOW_NAME = f"{RESERVED}overflow"
"""The prefix of the series, one for each kind, that take in series beyond `max_series`. They are published."""

_LABEL = 1024  # the most bytes of a string in a hello
_PIDS = range(1 << 31)  # 0 if unknown
_SELDOM = 1e9  # the longest interval, in seconds

_U32 = struct.Struct("<I")
_HELLO = struct.Struct("<IQdB")


class Hello(NamedTuple):
    """The description of a worker, sent at the start of each session."""

    host: str
    """The name of its host, for people."""
    machine: str
    """Identifies the running system: its processes share a monotonic clock."""
    processes: str
    """Identifies the pid namespace of its pid; empty if unknown."""
    pid: int
    started: int
    """When the process was started, in a unit of the system. Tells apart processes that had the same pid."""
    interval: float
    """Seconds between its flushes."""
    settles: bool
    """Whether its slices are settled once their slot is over. False for aggregators."""

    @property
    def place(self) -> Tuple[str, str]:
        """The machine and pid namespace in which its pid is unique."""
        return self.machine, self.processes


class Series(NamedTuple):
    """The description of a series, sent before its first state."""

    number: int
    """Identifies the series in the session."""
    kind: str
    """The name of its kind, which may be unknown here."""
    merge: str
    """How the values of workers are combined, for gauges."""
    name: str
    tags: Tags


def hello(worker: Hello) -> bytes:
    """Encode a hello."""
    numbers = _HELLO.pack(worker.pid, worker.started, worker.interval, worker.settles)
    return record(HELLO, numbers + text(worker.host) + text(worker.machine) + text(worker.processes))


def read_hello(reader: Reader) -> Hello:
    """Decode a hello."""
    pid, started, interval, settles = reader.take(_HELLO)
    host, machine, processes = reader.text(_LABEL), reader.text(_LABEL), reader.text(_LABEL)
    reader.finish()
    if pid not in _PIDS or not 0.0 < interval <= _SELDOM or settles > 1:
        raise FrameError(f"A worker cannot have the pid {pid}, an interval of {interval} s, and settles {settles}.")
    if any(ord(character) < 0x20 for label in (host, machine, processes) for character in label):
        raise FrameError(f"A worker has an invalid host name: {host!r}.")
    return Hello(host, machine, processes, pid, started, interval, bool(settles))


def series(new: Series) -> bytes:
    """Encode the description of a series."""
    kind = kind_named(new.kind)
    code = None if kind is None else kind.code
    parts = [_U32.pack(new.number), bytes((NAMED if code is None else code, MERGES.index(new.merge)))]
    if code is None:
        parts.append(text(new.kind))
    parts += [text(new.name), _U32.pack(len(new.tags))]
    parts += [text(each) for pair in new.tags for each in pair]
    return record(SERIES, b"".join(parts))


def read_series(reader: Reader) -> Series:
    """Decode the description of a series."""
    (number,) = reader.take(_U32)
    code, merge = reader.bytes(2)
    known = BY_CODE.get(code)
    if (known is None and code != NAMED) or merge >= len(MERGES):
        raise FrameError(f"The kind {code} or the merge {merge} is unknown.")
    kind = _read_kind(reader) if known is None else known
    if known is None:
        known = known_kind(kind)
    if known is not None and MERGES[merge] not in known.merges:
        raise FrameError(f"A {kind} is not merged by {MERGES[merge]!r}, as only gauges are.")
    name = reader.text(MAX_NAME_BYTES)
    (count,) = reader.take(_U32)
    if count > MAX_TAGS:
        raise FrameError(f"A series has {count:,} tags, more than {MAX_TAGS}.")
    tags = tuple([(reader.text(MAX_KEY_BYTES), reader.text(MAX_VALUE_BYTES)) for _ in range(count)])
    reader.finish()
    try:
        check_series(name, tags)
    except MetricError as error:
        raise FrameError(str(error)) from None
    _check_reserved(name, reader)
    return Series(number, kind, MERGES[merge], name, tags)


def facts(name: str, said: Facts) -> bytes:
    """Encode the facts of a name."""
    return record(FACTS, text(name) + text(said.description) + text(said.unit))


def read_facts(reader: Reader) -> Tuple[str, Facts]:
    """Decode a name and its facts."""
    name = reader.text(MAX_NAME_BYTES)
    description, unit = reader.text(MAX_DESCRIPTION_BYTES), reader.text(MAX_UNIT_BYTES)
    reader.finish()
    try:
        said = check_facts(check_name(name), description, unit)
    except MetricError as error:
        raise FrameError(str(error)) from None
    if said == NO_FACTS:
        raise FrameError(f"A record has no facts of {name!r}.")
    _check_reserved(name, reader)
    return name, said


def _check_reserved(name: str, reader: Reader) -> None:
    if is_internal(name) or (reader.single and name.startswith(RESERVED)):
        raise FrameError(f"{name!r} is a name that only aggregators use.")


def _read_kind(reader: Reader) -> str:
    """Read the name of a kind, which may be unknown here."""
    name = reader.text(LONGEST_NAME)
    if not is_name(name):
        raise FrameError(f"{name!r} is not the name of a kind.")
    kind = kind_named(name)
    if kind is not None and kind.code is not None:
        raise FrameError(f"The kind {name} has the code {kind.code}, and must not be written by name.")
    return name


def is_internal(name: str) -> bool:
    """Whether a name is that of an aggregator's metric about itself, which it does not publish."""
    return name.startswith(RESERVED) and not name.startswith(f"{OVERFLOW_NAME}.")


def removed(number: int) -> bytes:
    """Encode that a series was removed."""
    return record(REMOVED, _U32.pack(number))


def read_number(reader: Reader) -> int:
    """Read the number of a series."""
    (number,) = reader.take(_U32)
    return int(number)


def read_removed(reader: Reader) -> int:
    """Decode the number of a removed series."""
    number = read_number(reader)
    reader.finish()
    return number


def state(kind: Kind, number: int, state: Any, known: Any) -> bytes:
    """Encode the state of the series `number`, for a receiver that has the state `known`, or None."""
    return record(_type_of(kind), _U32.pack(number) + kind.write(state, known))


def states(kind: Kind, number: int, state: Any, known: Any) -> List[bytes]:
    """Encode it as several records if one would be large, so that no frame has to be large."""
    head = _U32.pack(number)
    whole = record(_type_of(kind), head + kind.write(state, known))
    if len(whole) <= PIECE:
        return [whole]
    return [record(_type_of(kind), head + piece) for piece in kind.pieces(state, known)]


def _type_of(kind: Kind) -> int:
    code = kind.code
    return NAMED_STATE if code is None else STATE + code
