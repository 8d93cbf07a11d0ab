"""The plugin of tapes-zmq. It is imported when a name is looked up, so it imports nothing else of tapes-zmq."""

from __future__ import annotations

from typing import Dict

from tapes.plugins import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `zmq`."""
    return {"zmq": "tapes.distributed.reporter:ZmqReporter"}


@hookimpl
def tapes_tables() -> Dict[str, str]:
    """Provide `[aggregator]`."""
    return {"aggregator": "tapes.distributed.table:Table"}
