"""Processes that are measured apart: programs that are asked one thing after another, by lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Optional

PATIENCE = 10.0
"""Seconds that a process may take to end when it has been told to."""


def answer(commands: Mapping[str, Callable[..., object]]) -> None:
    """Be such a program: run the commands that are asked for until nobody asks any more."""
    # What else is printed must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(commands[name](*arguments)), file=answers, flush=True)


class Child:
    """A module of this package that runs as a process of its own and answers."""

    def __init__(self, module: str, *arguments: str, environment: Optional[Mapping[str, str]] = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.distributed.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.pid = self._process.pid

    def send(self, command: str, *arguments: object) -> None:
        """Ask, and do not wait. `receive()` gives the answers in the order of the questions."""
        assert self._process.stdin is not None
        print(json.dumps([command, arguments]), file=self._process.stdin, flush=True)

    def receive(self) -> Any:
        """Wait for an answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended with {self._process.wait()} instead of answering.")
        return json.loads(line)

    def ask(self, command: str, *arguments: object) -> Any:
        """Ask, and wait for the answer."""
        self.send(command, *arguments)
        return self.receive()

    def close(self) -> None:
        """Let it end, which it does when it has answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
