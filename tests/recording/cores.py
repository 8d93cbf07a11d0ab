"""The recording cores that are installed, and what differs between their kinds of buffers, as data."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from tapes.recording import pure
from tapes.recording.core import Core

KINDS = ("counter", "gauge", "meter", "histogram", "timer")

COUNTING = ("counter", "meter", "histogram", "timer")
"""The kinds of which each record of 1 is one more, whatever is recorded at the same time."""

_RECORD: Dict[str, str] = {
    "counter": "increment",
    "gauge": "set",
    "meter": "mark",
    "histogram": "update",
    "timer": "update",
}

_COUNT: Dict[str, Callable[[Any], Any]] = {
    "counter": lambda state: state.value,
    "gauge": lambda state: state.last,
    "meter": lambda state: state.count,
    "histogram": lambda state: state.count,
    "timer": lambda state: state.durations.count,
}

_BACKLOG: Dict[str, Callable[[Any], int]] = {"pure": lambda buffer: len(buffer._pending) - 1}
"""How each core tells, to its tests alone, how many records it has not folded yet."""


def installed() -> List[Core]:
    """Return the cores that are installed here: all that the tests in this folder run over."""
    return [pure]


def named(name: str) -> Core:
    """Return an installed core by its name, which is how one is handed over to another interpreter."""
    return {core.name: core for core in installed()}[name]


class Subject:
    """A buffer to test."""

    def __init__(self, core: Core, kind: str, now: Callable[[], float]) -> None:
        self.core = core
        self.kind = kind
        self.buffer: Any = getattr(core, f"{kind.title()}Buffer")("tested", (), now)
        self.record: Callable[[float], None] = getattr(self.buffer, _RECORD[kind])
        """Record a number: 1 is one record of each kind."""

    def count(self) -> Any:
        """Return how many records of 1 there have been; of a gauge the last one, None if there was none."""
        state = self.buffer.read(self.buffer.now())
        if self.kind == "timer":
            assert state.events.count == state.durations.count
        return _COUNT[self.kind](state)

    def record_twice(self) -> None:
        """Record what is folded, and something that is not."""
        self.record(1)
        self.count()
        self.record(1)

    def backlog(self) -> int:
        """Return how many records have not been folded yet."""
        return _BACKLOG[self.core.name](self.buffer)
