# Written by `python3 noxfile.py -s stubs`, from what is beside it.

import datetime
import os
import tapes.clock
import tapes.registry
import tapes.reporting.push
import typing

class ThreadedStreamReporter(tapes.reporting.push.PushReporter):
    def __init__(
        self,
        interval: typing.Union[datetime.timedelta, float],
        stream: typing.Optional[typing.TextIO] = None,
        registry: typing.Optional[tapes.registry.Registry] = None,
        *,
        path: typing.Optional[typing.Union[str, os.PathLike[str]]] = None,
        clock: typing.Optional[tapes.clock.Clock] = None,
    ) -> None: ...
