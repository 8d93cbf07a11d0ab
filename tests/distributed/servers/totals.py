"""What all processes together have counted, as the aggregator shows it."""

from __future__ import annotations

import http.client
import json
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from tests.servers.processes import PATIENCE, awaited

SCRAPES = 10  # that are enough to tell
PAUSE = 0.005  # seconds between them


class Totals(NamedTuple):
    """Of the metrics of `measured.py`."""

    timed: int
    counted: int

    @classmethod
    def of(cls, stats: Dict[str, Any]) -> Totals:
        """Take them from a tree of statistics. A metric that nobody has published yet has counted nothing.

        One of them may be there before the other: a page may be made while a frame that brings both is taken in.
        """
        app = stats.get("app", {})
        return cls(app.get("latency", {}).get("count", 0), app.get("served", {}).get("value", 0))


class Picture(ABC):
    """Something that shows the totals."""

    @abstractmethod
    def totals(self) -> Totals:
        """Return what it shows now."""

    def await_totals(self, expected: Totals) -> Totals:
        """Return what it shows once that is what is expected, or when it has not become so in time."""
        return awaited(self.totals, expected)


class Page(Picture):
    """The page of an aggregator."""

    def __init__(self, port: int) -> None:
        """Do nothing yet."""
        self._port = port

    def totals(self) -> Totals:
        """Fetch it."""
        return Totals.of(json.loads(fetch(self._port)))


class LastReport(Picture):
    """The last line of the file that an aggregator reports to."""

    def __init__(self, path: Path) -> None:
        """Do nothing yet."""
        self._path = path

    def totals(self) -> Totals:
        """Read the last line that is whole."""
        written = self._path.read_text() if self._path.exists() else ""
        last = written.rpartition("\n")[0].rpartition("\n")[2]
        return Totals.of(json.loads(last or "{}"))


class Scraper(threading.Thread):
    """Reads a page again and again while it is entered."""

    def __init__(self, page: Page) -> None:
        """Do nothing yet."""
        super().__init__(daemon=True)
        self._page = page
        self._stopping = threading.Event()
        self._error: Optional[BaseException] = None
        self._seen: List[Totals] = []

    def run(self) -> None:
        """Read."""
        try:
            while not self._stopping.wait(PAUSE):
                self._seen.append(self._page.totals())
        except BaseException as error:  # noqa: BLE001  whatever it is, the test is told
            self._error = error

    def enough(self) -> bool:
        """Whether it has read often enough."""
        if self._error is not None:
            raise self._error
        return len(self._seen) >= SCRAPES

    def went_down(self) -> List[str]:
        """Return where a total was less than what was read before."""
        return [
            f"{later} was read after {earlier}"
            for earlier, later in zip(self._seen, self._seen[1:])
            if later.timed < earlier.timed or later.counted < earlier.counted
        ]

    def __enter__(self) -> Scraper:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopping.set()
        self.join(PATIENCE)


def fetch(port: int, path: str = "/") -> bytes:
    """Return a page of loopback, over a connection of its own. Anything but 200 is a failure."""
    response, body = asked(port, path)
    assert response.status == 200, f"{response.status}: {body!r}"
    return body


def asked(port: int, path: str) -> Tuple[http.client.HTTPResponse, bytes]:
    """Return what comes from loopback, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()
