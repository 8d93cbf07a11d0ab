"""Reports to StatsD, when an event loop says so. Comes with `pip install 'tapes-tornado[statsd]'`."""

# ruff: noqa: TC001, TC002, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import os
from datetime import timedelta
from typing import Literal, Optional, Union

from tornado.ioloop import IOLoop

from tapes.registry import Registry
from tapes.reporting.tornado.apart import ApartReporter, named_after

try:
    from tapes.reporting.statsd import StatsdReporter
except ModuleNotFoundError as missing:
    if missing.name != "tapes.reporting.statsd":
        raise
    raise ImportError(
        "tapes.reporting.tornado.statsd needs tapes-statsd, which is not installed: pip install 'tapes-tornado[statsd]'"
    ) from missing


class TornadoStatsdReporter(ApartReporter):
    """Sends counters to StatsD as changes, and everything else as gauges, as `StatsdReporter` does, timed by a loop.

    A thread looks up the host and sends, so that nobody waits for the network. See `TornadoScheduledReporter` for which
    loop it is, and when.
    """

    def __init__(
        self,
        interval: Union[timedelta, float],
        host: str = "localhost",
        port: int = 8125,
        prefix: Optional[str] = None,
        registry: Optional[Registry] = None,
        io_loop: Optional[IOLoop] = None,
        *,
        protocol: Literal["udp", "tcp", "unix"] = "udp",
        path: Optional[Union[str, os.PathLike[str]]] = None,
        tags: Literal["name", "datadog"] = "name",
        max_packet: int = 1432,
    ) -> None:
        """Send what `registry` (by default the process-wide one) holds every `interval`, a timedelta or seconds.

        To `host` and `port` by the `protocol` `"udp"` or `"tcp"`, or by `"unix"` to the stream socket at `path`. Every
        name begins with `prefix` and a dot, if there is one. `tags` says how tags are written and `max_packet` how many
        bytes a packet may have; see `StatsdReporter`. `io_loop` keeps the time; by default the one that runs where the
        reporter is started, or the next one that does.

        Raises ReporterOptionError for options that it cannot work with.
        """
        inner = named_after(self, StatsdReporter)(
            interval,
            host,
            port,
            prefix,
            registry,
            protocol=protocol,
            path=path,
            tags=tags,
            max_packet=max_packet,
        )
        super().__init__(inner, io_loop)
