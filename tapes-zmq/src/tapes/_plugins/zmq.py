"""What tapes-zmq provides. It is imported when something is looked up by name, and imports nothing of it."""

from __future__ import annotations

from typing import Dict

from tapes.plugins import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `zmq`."""
    return {"zmq": "tapes.distributed.reporter:ZmqReporter"}
