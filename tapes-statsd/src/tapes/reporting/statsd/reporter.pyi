# Written by `python3 noxfile.py -s stubs`, from what is beside it.

import datetime
import os
import tapes.clock
import tapes.registry
import tapes.reporting.push
import typing

class StatsdReporter(tapes.reporting.push.PushReporter):
    def __init__(
        self,
        interval: typing.Union[datetime.timedelta, float],
        host: str = "localhost",
        port: int = 8125,
        prefix: typing.Optional[str] = None,
        registry: typing.Optional[tapes.registry.Registry] = None,
        *,
        protocol: typing.Literal["udp", "tcp", "unix"] = "udp",
        path: typing.Optional[typing.Union[str, os.PathLike[str]]] = None,
        tags: typing.Literal["name", "datadog"] = "name",
        max_packet: int = 1432,
        clock: typing.Optional[tapes.clock.Clock] = None,
    ) -> None: ...
