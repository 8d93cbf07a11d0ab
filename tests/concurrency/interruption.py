"""Interruptions at every point of an act, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, Callable, Optional


class Interruption:
    """Calls `interrupt` once, before the instruction number `point` that tapes executes while this is entered.

    That is what a signal handler, a finalizer or another thread may do, and on some interpreters anywhere. What
    `interrupt` raises is raised there.
    """

    def __init__(self, point: int, interrupt: Callable[[], Any]) -> None:
        self._point = point
        self._interrupt = interrupt
        self._before: Any = None
        self.passed = 0
        """How many instructions there have been before it."""
        self.happened = False
        """Whether there were so many instructions."""
        self.where = ""
        """What was interrupted."""

    def __enter__(self) -> Interruption:
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _reached(self, code: CodeType, position: str) -> None:
        if self.happened or not _is_of_tapes(code):
            return
        if self.passed < self._point:
            self.passed += 1
        else:
            self.happened = True
            self.where = f"{code.co_filename.rsplit('/', 1)[-1]}, {code.co_name}, {position}"
            self._end()
            self._interrupt()

    if sys.version_info >= (3, 12):
        # Tracing instructions with sys.settrace misses some of them here.

        def _begin(self) -> None:
            monitoring = sys.monitoring
            self._thread = get_ident()
            monitoring.use_tool_id(monitoring.DEBUGGER_ID, "interruptions")
            monitoring.register_callback(monitoring.DEBUGGER_ID, monitoring.events.INSTRUCTION, self._monitored)
            monitoring.set_events(monitoring.DEBUGGER_ID, monitoring.events.INSTRUCTION)

        def _end(self) -> None:
            monitoring = sys.monitoring
            if monitoring.get_tool(monitoring.DEBUGGER_ID):
                monitoring.set_events(monitoring.DEBUGGER_ID, 0)
                monitoring.free_tool_id(monitoring.DEBUGGER_ID)

        def _monitored(self, code: CodeType, offset: int) -> None:
            if get_ident() == self._thread:  # all threads are monitored, also what another test has left
                self._reached(code, f"instruction {offset // 2}")

    else:

        def _begin(self) -> None:
            self._before = sys.gettrace()
            sys.settrace(self._called)

        def _end(self) -> None:
            sys.settrace(self._before)

        def _called(self, frame: FrameType, event: str, argument: object) -> Optional[Any]:
            if self.happened or not _is_of_tapes(frame.f_code):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return self._traced

        def _traced(self, frame: FrameType, event: str, argument: object) -> Any:
            if event == "opcode":
                self._reached(frame.f_code, f"line {frame.f_lineno}")
            return self._traced


def at_every_point(interrupt: Callable[[], Any], step: int = 1) -> Iterator[Interruption]:
    """Yield interruptions to do an act in, one for each `step`-th point of it, until it has no more points."""
    point = 0
    while True:
        interruption = Interruption(point, interrupt)
        yield interruption
        if not interruption.happened:
            assert point > 10, "the act executes hardly anything of tapes"
            return
        point += step


def instructions(act: Callable[[], Any]) -> int:
    """Return how many instructions of tapes an act executes."""
    with Interruption(sys.maxsize, lambda: None) as interruption:
        act()
    return interruption.passed


def _is_of_tapes(code: CodeType) -> bool:
    return "/tapes/" in code.co_filename.replace("\\", "/").rsplit("/tests/", 1)[-1]
