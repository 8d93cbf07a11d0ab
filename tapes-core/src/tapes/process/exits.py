"""Last reports in processes that end without an exit of the interpreter."""

from __future__ import annotations

import os
import sys
import threading
from typing import Callable

from tapes.process import forker, termination
from tapes.process.ending import alive, stop_all

_after_forker_registered = False
_finalizer_pid = 0
_watching_pid = 0


def prepare_exit() -> None:
    """Provide for the end of a child that `multiprocessing`, Celery, or a thread has made.

    A child of `multiprocessing` runs finalizers, but no `atexit` functions; one of Celery runs neither, and sends a
    signal. When `multiprocessing` takes over in a child, it forgets the finalizers that were registered until then,
    those from hooks of `os.register_at_fork` included. So one is registered by a hook of its own, which comes after
    that. A pool of `multiprocessing` ends its processes by SIGTERM.
    """
    global _after_forker_registered
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(_stop_all_of_celery, weak=False, dispatch_uid="tapes")
    _watch_forker()
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
    # The lowest priority: what queues and pools do at exit is still in the last report.
    sys.modules["multiprocessing.util"].Finalize(None, function, exitpriority=-100)
    termination.prepare_child()


def _watch_forker() -> None:
    """See to the end of a child that was forked by another thread than the main one.

    There the process ends with its last thread, and nobody waits for threads that are daemons, or runs `atexit`
    functions. Those of reporters would go on for ever.
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
    if alive:  # one hangs, and would keep the process
        os._exit(0)
