# Written by `python3 noxfile.py -s stubs`, from what is beside it.

import datetime
import os
import tapes.registry
import tapes.reporting.stream
import tapes.reporting.tornado.driver
import tornado.ioloop
import typing

class TornadoStreamReporter(tapes.reporting.tornado.driver.LoopDriven, tapes.reporting.stream.ThreadedStreamReporter):
    def __init__(
        self,
        interval: typing.Union[datetime.timedelta, float],
        stream: typing.Optional[typing.TextIO] = None,
        registry: typing.Optional[tapes.registry.Registry] = None,
        io_loop: typing.Optional[tornado.ioloop.IOLoop] = None,
        *,
        path: typing.Optional[typing.Union[str, os.PathLike[str]]] = None,
    ) -> None: ...
