"""A destination of the tests' own: one sender of three methods, in a plugin."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Optional

import pytest

from tapes.config.checking import check
from tapes.plugins.catalog import Catalog
from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.push import PushReporter
from tapes.snapshot import Snapshot

PLUGIN = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_reporters():
    return {reporters!r}
"""


class TallySender:
    """Appends to a file how many series there are."""

    def __init__(self, path: str, unit: str = "series", *, width: int = 1) -> None:
        """Append to the file at `path`, with `unit` after the number, which has at least `width` digits."""
        self._path = path
        self._unit = unit
        self._width = width
        self._file: Optional[io.RawIOBase] = None

    def open(self) -> None:
        """Open the file."""
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 -- closed by close()

    def send(self, snapshot: Snapshot) -> None:
        """Append a line, unless the test says that the file cannot be written to."""
        assert self._file is not None
        if os.path.exists(f"{self._path}.broken"):
            raise OSError("broken")
        self._file.write(f"{len(snapshot.readings):0{self._width}} {self._unit}\n".encode())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class TallyReporter(PushReporter):
    """Appends to a file how many series there are, at every interval."""

    sender = TallySender


class FarEnd:
    """The file, and what a contract suite asks and does of it. The first base of such a suite."""

    path: Path

    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path, monkeypatch)
        self.path = tmp_path / "tally"

    def received(self) -> Optional[int]:
        """Count the lines."""
        return self.path.read_text().count("\n")

    def break_far_end(self) -> None:
        """Have nothing written."""
        self.path.with_name("tally.broken").touch()

    def mend_far_end(self) -> None:
        """Have it written again."""
        self.path.with_name("tally.broken").unlink()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **others: str) -> None:
    """Install the plugin into a folder, with other reporters besides, and have it found by this process."""
    metadata = folder / "tapes_tally-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tapes-tally\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tapes]\ntally = tally_plugin\n")
    reporters = {"tally": "tests.reporting.tally:TallyReporter", **others}
    (folder / "tally_plugin.py").write_text(PLUGIN.format(reporters=reporters))
    monkeypatch.delitem(sys.modules, "tally_plugin", raising=False)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("tapes.plugins.lookup._CATALOG", Catalog())


def configured(name: str, registry: Optional[Registry], **options: object) -> Reporter:
    """Return the reporter that a configuration makes of this name and these options."""
    (checked,) = check({"reporters": {name: options}}, registry=registry).reporters
    return checked.reporter
