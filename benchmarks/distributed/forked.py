"""Children of a program."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def forked(work: Callable[[], None]) -> int:
    """Do something in a child process, and return its pid.

    It leaves without the clean-up of the interpreter, as the workers of most servers do.
    """
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001  nobody above may go on in the child
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> None:
    """Wait until a child has ended.

    Raises RuntimeError if it has failed.
    """
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"The child process {pid} has failed.")
