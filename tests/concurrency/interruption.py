"""Interruptions at every point of an act, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Callable, Optional


class Interruption:
    """Calls `interrupt` once, before the instruction number `point` that tapes executes while this is entered.

    That is what a signal handler, a finalizer or another thread may do, and on some interpreters anywhere. What
    `interrupt` raises is raised there.
    """

    def __init__(self, point: int, interrupt: Callable[[], Any]) -> None:
        self._left = point
        self._interrupt = interrupt
        self._before: Any = None
        self.happened = False
        """Whether there were so many instructions."""
        self.where = ""
        """The line that was interrupted."""

    def __enter__(self) -> Interruption:
        self._before = sys.gettrace()
        sys.settrace(self._entered)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _entered(self, frame: FrameType, event: str, argument: object) -> Optional[Any]:
        if self.happened or not _is_of_tapes(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._reached

    def _reached(self, frame: FrameType, event: str, argument: object) -> Optional[Any]:
        if event != "opcode" or self.happened:
            return self._reached
        self._left -= 1
        if self._left < 0:
            self.happened = True
            self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            sys.settrace(None)
            self._interrupt()
        return self._reached


def at_every_point(interrupt: Callable[[], Any], step: int = 1) -> Iterator[Interruption]:
    """Yield interruptions to do an act in, one for each `step`-th point of it, until it has no more points."""
    # The first time without one: some interpreters tell of the instructions of a function only when it is called again.
    yield Interruption(sys.maxsize, interrupt)
    point = 0
    while True:
        interruption = Interruption(point, interrupt)
        yield interruption
        if not interruption.happened:
            assert point, "the act executes nothing of tapes"
            return
        point += step


def _is_of_tapes(code: CodeType) -> bool:
    return "/tapes/" in code.co_filename.replace("\\", "/").rsplit("/tests/", 1)[-1]
