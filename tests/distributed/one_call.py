"""One call in real processes: a folder with `tapes.toml` and an application, and what the aggregator has counted."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Optional

from tapes.distributed.claims import is_held
from tapes.distributed.rendezvous import Rendezvous, meeting_at, name_of
from tests.distributed.servers.serving import Group
from tests.distributed.whole.programs import Place, figure
from tests.servers.processes import awaited, until

CONFIG = """
[aggregator]
linger = {linger}
interval = {interval}
{options}
[reporters.stream]
interval = 0.05
path = "report"
"""

OFTEN = 0.1
"""An interval of workers, in seconds: they publish while they work."""

AT_THE_END = 3600.0
"""The interval of workers that publish when they have recorded something for the first time, and when they end."""

SOON = 1.5
"""Seconds for which an aggregator stays without any worker, where that is waited for."""

NOT_SOON = 120.0
"""The same, where there may be no worker for a while on a machine that is busy."""

CALL = """
import tapes

configuration = tapes.configure({path})
served = tapes.counter("served")
"""
"""What an application has, whatever runs it."""

HERE, BESIDE = '"tapes.toml"', '__file__.replace("application.py", "tapes.toml")'
"""Where the file is: in the working directory of the server, or beside the application."""


class OneCall:
    """A folder with a configuration, and the meeting place of the processes that are configured by it."""

    def __init__(
        self,
        place: Place,
        options: str = "",
        *,
        interval: float = OFTEN,
        linger: float = SOON,
        user: Optional[int] = None,
    ) -> None:
        """Write the configuration. The options are further lines of its table `[aggregator]`, or further tables.

        The processes are those of this user, or of another one.
        """
        self.place = place
        self.folder = place.folder
        path = self.folder / "tapes.toml"
        path.write_text(CONFIG.format(options=options, interval=interval, linger=linger))
        if user is None:
            self.at = meeting_at(str(path))
        else:
            os.chown(self.folder, user, -1)
            self.at = Rendezvous(f"/tmp/tapes-{user}/{name_of(str(path))}")

    def application(self, code: str = "", path: str = HERE) -> None:
        """Write the module `application`, which begins with the call."""
        (self.folder / "application.py").write_text(CALL.format(path=path) + textwrap.dedent(code))

    def left_over(self) -> list[str]:
        """Return the files at the meeting place."""
        socket = Path(self.at.socket)
        return sorted(each.name for each in socket.parent.glob(f"{socket.name}*"))

    def await_end(self) -> None:
        """Wait until the aggregator has ended, with its files."""
        until(lambda: not is_held(self.at.lock) and not self.left_over(), "the aggregator has ended, with its files")

    def counted(self) -> int:
        """Return what the last reports of all aggregators have counted together.

        There are several where one has ended, with all that it held, before the next process began.
        """
        last = {document["tapes.report"]["pid"]: document for document in self.place.report().documents()}
        return sum(figure(document, "served.value") or 0 for document in last.values())

    def check(self, served: int, server: Optional[Group] = None) -> None:
        """Check that so many are counted when all processes have ended, and that nothing is left."""
        assert awaited(self.counted, served) == served, server and server.said()
        self.await_end()
        assert self.counted() == served
