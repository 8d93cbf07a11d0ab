"""Works that are done in threads, all at once."""

from __future__ import annotations

import threading
from typing import Callable, List


def in_threads(*works: Callable[[], None]) -> None:
    """Do all `works` at once, each in a thread, and raise what one of them has raised."""
    errors: List[BaseException] = []
    gate = threading.Barrier(len(works))

    def guarded(work: Callable[[], None]) -> None:
        try:
            gate.wait()
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
