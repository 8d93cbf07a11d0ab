"""A function of a test, called in an interpreter of its own that is not allowed to hang."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, NoReturn

ROOT = Path(__file__).resolve().parents[2]

DEADLINE = 120
"""Seconds after which an interpreter shows where its threads are, and ends."""


def alone(function: Callable[..., Any], *arguments: object) -> Any:
    """Call `function` with `arguments` in a new interpreter, and return what it returns there.

    It has to be at the top level of its module. Arguments and result are handed over as JSON. Raises an
    AssertionError with all that the interpreter wrote if it fails, or hangs, or a process that it has forked does.
    """
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c"]
    code = f"from tests.concurrency.alone import called; called({function.__module__!r}, {function.__name__!r})"
    with subprocess.Popen(
        [*command, code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(json.dumps(arguments), timeout=DEADLINE + 10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += "\nA process that it forked did not end."
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it has forked and left behind
    assert process.returncode == 0, f"{function.__name__}{arguments} ended with {process.returncode}:\n{out}\n{err}"
    return json.loads(out.splitlines()[-1])


def called(module: str, function: str) -> None:
    """Be that interpreter."""
    faulthandler.dump_traceback_later(DEADLINE, exit=True)
    arguments = json.load(sys.stdin)
    result = getattr(importlib.import_module(module), function)(*arguments)
    sys.stdout.write(f"\n{json.dumps(result)}\n")
    sys.stdout.flush()


def in_child(work: Callable[[], int]) -> NoReturn:
    """Be a forked child: exit with the status that `work` returns, 255 if it raises, and be killed if it hangs."""
    status = 255
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(DEADLINE)  # the watchman of faulthandler is a thread, of which there is none here
        status = work()
    except BaseException:  # noqa: BLE001 - goes no further than this process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def forked(work: Callable[[], Any]) -> Any:
    """Fork, do `work` in the child, and return what it returns there, handed over as JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:

        def tell() -> int:
            os.write(writing, json.dumps(work()).encode())
            return 0

        in_child(tell)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, "the child failed or hung"
    return json.loads(told)
