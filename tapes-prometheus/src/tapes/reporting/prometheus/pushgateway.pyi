# Written by `python3 noxfile.py -s stubs`, from what is beside it.

import collections.abc
import datetime
import tapes.clock
import tapes.registry
import tapes.reporting.push
import typing

class PushgatewayReporter(tapes.reporting.push.PushReporter):
    def __init__(
        self,
        interval: typing.Union[datetime.timedelta, float],
        job: str,
        url: str = "http://localhost:9091",
        registry: typing.Optional[tapes.registry.Registry] = None,
        *,
        grouping: typing.Optional[collections.abc.Mapping[str, str]] = None,
        timeout: float = 4.0,
        clock: typing.Optional[tapes.clock.Clock] = None,
    ) -> None: ...
