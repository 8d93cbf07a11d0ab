"""What happens in a child process.

Everything that must not be shared with a parent registers itself here: registries, which start from zero, and then
reporters, which lose their threads and may begin again. Both are held weakly.

The hooks of `os.register_at_fork` do this wherever Python itself forks. uWSGI forks without calling them, so inside
uWSGI `uwsgidecorators.postfork` is used as well. Code that runs where neither is called (a C extension that forks)
compares `os.getpid()` with the pid that it remembers, in its slow paths.
"""

from __future__ import annotations

import os
import sys
import threading  # its own hook has to come before ours, which may start threads
from typing import TYPE_CHECKING
from weakref import WeakSet

from tapes.process import forker

if TYPE_CHECKING:
    from collections.abc import MutableSet
    from typing import Protocol

    class Forkable(Protocol):
        """Something that has to be told that it now lives in a child process."""

        def after_fork(self) -> None:
            """Let go of all that belongs to the parent. Called once in the child, where only this thread exists."""
            ...


registries: MutableSet[Forkable] = WeakSet()
"""Told first."""

reporters: MutableSet[Forkable] = WeakSet()
"""Told when all registries have been."""

generation = 0
"""How many forks lie between this process and the first one that imported tapes."""

_pid = os.getpid()
_forking_apart: int | None = None  # the thread that is about to make a child which does something else


def fork_apart() -> int:
    """Fork as `os.fork` does, a child that is not to go on with what this process does.

    Registries begin at zero there, and reporters that run here are stopped there, also those that survive other forks.
    """
    global _forking_apart
    _forking_apart = threading.get_ident()
    try:
        return os.fork()
    finally:
        _forking_apart = None


def is_apart() -> bool:
    """Whether the child in which `after_fork` is under way was made by `fork_apart`."""
    return _forking_apart == threading.get_ident()


def after_fork() -> None:
    """Tell every registry, then every reporter, that this is a child process."""
    global _pid, generation
    _pid = os.getpid()
    generation += 1
    forker.after_fork()
    for group in (registries, reporters):
        for member in list(group):
            try:
                member.after_fork()
            except Exception:  # noqa: PERF203  whatever it is, the others have to be told too
                import logging

                logging.getLogger("tapes.forking").exception("%r could not be set up again after a fork.", member)


def after_fork_without_hooks() -> None:
    """Do the same where a server calls this after a fork, unless the hooks of Python have done it already."""
    if os.getpid() != _pid:
        after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=forker.before_fork, after_in_child=after_fork)

if "uwsgi" in sys.modules:
    try:
        from uwsgidecorators import postfork  # comes with the server
    except ImportError:
        pass
    else:
        postfork(after_fork_without_hooks)
