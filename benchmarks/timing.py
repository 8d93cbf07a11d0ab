"""What statements cost, measured in turns so that a slow moment of the machine is nobody's disadvantage."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

# Latencies as a web application has them, in seconds.
_RANDOM = random.Random(7)
VALUES = tuple(_RANDOM.lognormvariate(-2.5, 0.8) for _ in range(50_000))

_LOOP = """
def timed(values, clock, {names}):
    started = clock()
    for value in values:
        {statement}
    {finish}
    return clock() - started
"""


class Statement(NamedTuple):
    """A statement to measure, with what it needs. It may use `value`, which is another one each time."""

    name: str
    code: str
    needs: Mapping[str, Any] = {}
    finish: str = "pass"
    """Is run once after each loop, within the time: what is put off while recording belongs to the cost of it."""


def nanoseconds(statements: Sequence[Statement], rounds: int) -> dict[str, float]:
    """Return what one execution of each statement costs, without the loop around it.

    In each round every statement is run 50,000 times, one statement after the other. The fastest round counts: all
    that can happen to a round from outside makes it slower.
    """
    loops = {statement.name: _loop(statement) for statement in (Statement("", "pass"), *statements)}
    best = dict.fromkeys(loops, float("inf"))
    for _ in range(rounds):
        gc.collect()
        for name, loop in loops.items():
            best[name] = min(best[name], loop())
    empty = best.pop("")
    return {name: (seconds - empty) / len(VALUES) * 1e9 for name, seconds in best.items()}


def _loop(statement: Statement) -> Callable[[], float]:
    # Written out and compiled as the module timeit does, so that no call stands between the loop and the statement.
    source = _LOOP.format(names=", ".join(statement.needs), statement=statement.code, finish=statement.finish)
    namespace: dict[str, Any] = {}
    exec(compile(source, statement.name, "exec"), namespace)
    timed = namespace["timed"]
    needs = dict(statement.needs)
    return lambda: float(timed(VALUES, time.perf_counter, **needs))
