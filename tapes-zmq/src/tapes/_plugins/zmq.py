"""The plugin of tapes-zmq. It is imported when a name is looked up, so it imports nothing else of tapes-zmq."""

from __future__ import annotations

from typing import Dict

from tapes.plugins import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `zmq`, and what publishes a process whose config has a table `[aggregator]`."""
    return {
        "aggregator": "tapes.distributed.member:Member",
        "zmq": "tapes.distributed.reporter:ZmqReporter",
    }
