"""Last reports in processes that end without running `atexit` functions."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Callable

from tapes.process import forker, raised, termination, uwsgi
from tapes.process.shutdown import alive, stop_all

_after_forker_registered = False
_finalizer_pid = 0
_watching_pid = 0


def prepare_exit() -> None:
    """Arrange for last reports in a child of `multiprocessing`, of Celery, or of a thread that forked.

    And in every process that raises a signal to end itself.

    A child of `multiprocessing` runs finalizers, but no `atexit` functions; one of Celery runs neither, but sends a
    Celery signal. When `multiprocessing` takes over in a child, it drops all finalizers registered before, those from
    hooks of `os.register_at_fork` included. So a hook of `multiprocessing`, which runs after that, registers ours. A
    pool of `multiprocessing` ends its processes by SIGTERM. uWSGI ends busy workers by a signal, without exit handlers.
    """
    global _after_forker_registered
    raised.watch()
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(_stop_all_of_celery, weak=False, dispatch_uid="tapes")
    _watch_forker()
    uwsgi.prepare(stop_all)
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    if not _after_forker_registered:
        _after_forker_registered = True
        util.register_after_fork(stop_all, _prepare_child)
    if _finalizer_pid != os.getpid() and sys.modules["multiprocessing.process"].parent_process() is not None:
        _prepare_child(stop_all)


def _stop_all_of_celery(**_: object) -> None:
    stop_all()


def _prepare_child(function: Callable[[], None]) -> None:
    global _finalizer_pid
    _finalizer_pid = os.getpid()
    # The lowest priority, so that the last report includes what queues and pools do at exit.
    sys.modules["multiprocessing.util"].Finalize(None, function, exitpriority=-100)
    termination.prepare_child()


def _watch_forker() -> None:
    """Watch for the end of a child that was forked by a thread other than the main one.

    Such a process ends with its last thread. It runs no `atexit` functions, and the threads of reporters would run for
    ever.
    """
    global _watching_pid
    ended = forker.ended
    if ended is not None and _watching_pid != os.getpid():
        _watching_pid = os.getpid()
        threading.Thread(target=_end_after, args=(ended,), name="tapes-exit", daemon=True).start()


def _end_after(ended: threading.Event) -> None:
    ended.wait()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    stop_all()
    if alive:  # a reporter hangs, and would keep the process alive
        os._exit(0)


if "uwsgi" in sys.modules:  # in workers that it forks; those that import the application after that start a reporter
    with suppress(ImportError):
        from uwsgidecorators import postfork

        postfork(partial(uwsgi.prepare, stop_all))
