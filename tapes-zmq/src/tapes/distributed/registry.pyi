# Written by `python3 noxfile.py -s stubs`, from what is beside it.

import datetime
import os
import tapes.clock
import tapes.distributed.published
import typing
from tapes.distributed.aggregator import RegistryAggregator as RegistryAggregator

class DistributedRegistry(tapes.distributed.published.PublishedRegistry):
    def __init__(
        self,
        socket_addr: str = "ipc://tapes_metrics.ipc",
        *,
        interval: typing.Union[datetime.timedelta, float] = 1.0,
        keys: typing.Optional[typing.Union[str, os.PathLike[str]]] = None,
        insecure: bool = False,
        trust: typing.Optional[typing.Union[str, int, list[typing.Union[str, int]]]] = None,
        clock: tapes.clock.Clock = ...,
        max_tag_sets: int = 2000,
    ) -> None: ...
