"""Processes that Python's own ways make, and that end by themselves: `exits.py ADDRESS WAY`.

The ways are the start methods of multiprocessing; `raising`, which is a process that an exception ends; `pool`, whose
processes are replaced after two tasks; and `executor`. Each process publishes nothing before it ends. Told is, as JSON,
which processes there were and how many events each has recorded.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Dict, Iterable, Optional, Tuple

from tapes.distributed.registry import DistributedRegistry
from tests.distributed.faults.events import Events
from tests.distributed.patience import be_patient

HOUR = 3600.0
PROCESSES = 3
TASKS = 12

_events: Optional[Events] = None
"""Of this process."""


def work(address: str, task: int) -> Tuple[int, int]:
    """Do a task. Return which process has done it, and how many events it has recorded by now."""
    global _events
    if _events is None:
        be_patient()
        registry = DistributedRegistry(address, interval=HOUR)
        _events = Events(registry)
        _events.begin(os.getpid())
        registry.connect()
    _events.record(10 + task)
    return os.getpid(), _events.total


def work_alone(address: str, task: int, told: Any, fails: bool) -> None:
    """Do a task in a process that ends then."""
    told.put(work(address, task))
    if fails:
        raise RuntimeError("The process was told to fail.")


def with_processes(address: str, way: str) -> Iterable[Tuple[int, int]]:
    """Do each task in a process of its own."""
    context: Any = multiprocessing.get_context("fork" if way == "raising" else way)
    told = context.SimpleQueue()
    processes = [
        context.Process(target=work_alone, args=(address, task, told, way == "raising")) for task in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == (way == "raising"), f"It has ended with {process.exitcode}."
    return [told.get() for _ in processes]


def with_pool(address: str) -> Iterable[Tuple[int, int]]:
    """Do the tasks in a pool."""
    with multiprocessing.get_context("fork").Pool(PROCESSES, maxtasksperchild=2) as pool:
        told = pool.starmap(work, [(address, task) for task in range(TASKS)], chunksize=1)
        pool.close()
        pool.join()
    return told


def with_executor(address: str) -> Iterable[Tuple[int, int]]:
    """Do the tasks in an executor."""
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("fork")) as executor:
        return list(executor.map(work, [address] * TASKS, range(TASKS)))


def main(address: str, way: str) -> None:
    """Do all tasks, and tell."""
    be_patient()
    if way == "pool":
        told = with_pool(address)
    elif way == "executor":
        told = with_executor(address)
    else:
        told = with_processes(address, way)
    totals: Dict[int, int] = {}
    for process, total in told:
        totals[process] = max(total, totals.get(process, 0))
    sys.stdout.write(json.dumps(list(totals.items())))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
