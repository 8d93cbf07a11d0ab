"""Forks: set up registries and reporters again in a child process.

Objects that a child must not share with its parent register here: registries, which start from zero, and reporters,
which lose their threads and may start again. Both are held weakly.

The hooks of `os.register_at_fork` run wherever Python itself forks. uWSGI forks without them, so inside uWSGI
`uwsgidecorators.postfork` is used as well. For forks without either (by a C extension), the slow paths of the code
compare `os.getpid()` with the pid that they remember.
"""

from __future__ import annotations

import os
import sys
import threading  # its fork hook must run before ours, which may start threads
from typing import TYPE_CHECKING
from weakref import WeakSet

from tapes.process import forker

if TYPE_CHECKING:
    from collections.abc import MutableSet
    from typing import Protocol

    class Forkable(Protocol):
        """An object to set up again in a child process."""

        def after_fork(self) -> None:
            """Release everything that belongs to the parent. Called once in the child, when only this thread exists."""
            ...


registries: MutableSet[Forkable] = WeakSet()
"""The objects that are set up first."""

reporters: MutableSet[Forkable] = WeakSet()
"""The objects that are set up after all registries."""

generation = 0
"""The number of forks between this process and the first one that imported tapes."""

_pid = os.getpid()
_forked_in = 0  # the process that has forked another one
_thread_forking_without_metrics: int | None = None  # the thread inside `fork_without_metrics`


def fork_without_metrics() -> int:
    """Fork, like `os.fork`, a child that does something else: its registries are empty, its reporters stopped.

    That includes the reporters that continue in other forked children.
    """
    global _thread_forking_without_metrics
    _thread_forking_without_metrics = threading.get_ident()
    try:
        return os.fork()
    finally:
        _thread_forking_without_metrics = None


def is_without_metrics() -> bool:
    """Return whether this child was made by `fork_without_metrics`. Valid during `after_fork`."""
    return _thread_forking_without_metrics == threading.get_ident()


def has_forked() -> bool:
    """Return whether this process has forked another one that continues with what it does."""
    return _forked_in == os.getpid()


def _after_fork_in_parent() -> None:
    global _forked_in
    if not is_without_metrics():
        _forked_in = os.getpid()


def after_fork() -> None:
    """Set up every registry, then every reporter, in a child process."""
    global _pid, generation
    _pid = os.getpid()
    generation += 1
    forker.after_fork()
    for group in (registries, reporters):
        for member in list(group):
            try:
                member.after_fork()
            except Exception:  # noqa: PERF203  an error of one must not affect the others
                import logging

                logging.getLogger("tapes.forking").exception("%r could not be set up again after a fork.", member)


def after_fork_without_hooks() -> None:
    """Do the same for a server that calls this after a fork, unless Python's hooks have done it already."""
    if os.getpid() != _pid:
        after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=forker.before_fork, after_in_child=after_fork, after_in_parent=_after_fork_in_parent)

if "uwsgi" in sys.modules:
    try:
        from uwsgidecorators import postfork  # part of the server
    except ImportError:
        pass
    else:
        postfork(after_fork_without_hooks)
