"""The aggregator of a configuration as a process of its own, which belongs to nobody: `tapes.distributed.launcher`.

It reads its order from descriptor 0, answers on descriptor 1, and ends some seconds after the last worker has gone.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from enum import Enum
from typing import Any, Dict

from tapes.distributed.launcher import LOCK, MORE_PROCESSES, release_start
from tapes.errors import TapesError


class Outcome(Enum):
    """How an aggregator has ended."""

    IS_OVER = 0
    """Nobody is there any more."""
    GOES_ON = 1
    """Something came after its last report, which another one has to report."""
    IS_TAKEN = 2
    """Another one has the address."""


def main() -> int:
    """Detach from the process that has started this one, and run the aggregator."""
    # Once: in a container each process whose parent has ended stays as a zombie, where the first process reaps none.
    try:
        if os.fork():  # the parent waits for this process, and not for the aggregator
            os._exit(0)
    except OSError as error:
        sys.stderr.write(f"no second process can be made: {error.strerror}. {MORE_PROCESSES}\n")
        os._exit(1)
    os.setsid()
    order = _order()
    os.closerange(LOCK + 1, _most_descriptors())
    answer = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    has_answered = False

    def reply(fault: Any) -> None:
        nonlocal has_answered
        if not has_answered:
            has_answered = True
            release_start(LOCK, order["start"])
            os.close(LOCK)
            with suppress(OSError):  # whoever started this has gone
                os.write(answer, json.dumps({"fault": fault}).encode() + b"\n")
            os.close(answer)

    try:
        log = _log_to(order["log"])
        os.chdir(order["folder"])
        while (outcome := _run(order, lambda: reply(None))) is Outcome.GOES_ON:
            pass
        if outcome is Outcome.IS_OVER and not log.has_trouble:
            _remove_log(order["log"])
    except Exception as error:
        import logging

        logging.getLogger("tapes.aggregator").exception("The aggregator has ended.")
        reply(str(error) if isinstance(error, (TapesError, OSError)) else repr(error))
        return 1
    reply(None)
    return 0


def _order() -> Dict[str, Any]:
    content = b""
    while not content.endswith(b"\n"):
        read = os.read(0, 65536)
        if not read:
            os._exit(1)
        content += read
    order: Dict[str, Any] = json.loads(content)
    return order


def _most_descriptors() -> int:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(soft, 65536) if soft > 0 else 65536


def _log_to(path: str) -> Any:
    """Log to a file, and return a handler that says whether there was trouble."""
    import logging

    class Trouble(logging.Handler):
        has_trouble = False

        def emit(self, record: logging.LogRecord) -> None:
            """Note that there was a warning or worse."""
            self.has_trouble = True

    from tapes.distributed import files

    log = files.opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if os.fstat(log).st_size > 1 << 20:
        os.truncate(log, 0)
    os.dup2(log, 2)
    os.close(log)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    trouble = Trouble(logging.WARNING)
    logging.getLogger().addHandler(trouble)
    return trouble


def _remove_log(path: str) -> None:
    """Remove the log, unless another aggregator has begun one there."""
    with suppress(OSError):
        if os.path.samestat(os.stat(path), os.fstat(2)):
            os.unlink(path)


def _run(order: Dict[str, Any], ready: Any) -> Outcome:
    from tapes.distributed import handover
    from tapes.distributed.claims import TakenError
    from tapes.distributed.configured import ConfiguredAggregator
    from tapes.distributed.lifetime import ResidentLifetime

    aggregator = ConfiguredAggregator(order["config"], address=order["address"], state_path=order["state"])
    registry = aggregator.registry
    lifetime = ResidentLifetime(
        aggregator.own.linger,
        lambda: any(worker.present for worker in list(registry.workers.values())),
        order["config"] if isinstance(order["config"], str) else None,
        arrivals=lambda: registry.gone + len(registry.workers),
    )

    def begin() -> None:
        lifetime.begin()
        ready()

    try:
        came_late = aggregator.reside(lifetime, begin, passes_on=not aggregator.own.keeps_state)
    except TakenError:
        return Outcome.IS_TAKEN  # it was faster
    path = aggregator.address.path
    late = came_late or (path is not None and handover.is_left(path))
    return Outcome.GOES_ON if late and lifetime.is_over() else Outcome.IS_OVER


if __name__ == "__main__":
    sys.exit(main())
