# Written by `python3 noxfile.py -s stubs`, from what is beside it.

import collections.abc
import datetime
import tapes.clock
import tapes.registry
import tapes.reporting.push
import typing

class OtlpReporter(tapes.reporting.push.PushReporter):
    def __init__(
        self,
        interval: typing.Union[datetime.timedelta, float],
        endpoint: typing.Optional[str] = None,
        registry: typing.Optional[tapes.registry.Registry] = None,
        *,
        service: typing.Optional[str] = None,
        resource: typing.Optional[collections.abc.Mapping[str, str]] = None,
        headers: typing.Optional[collections.abc.Mapping[str, str]] = None,
        compression: bool = True,
        timeout: float = 4.0,
        clock: typing.Optional[tapes.clock.Clock] = None,
    ) -> None: ...
