"""Where reporters of JSON lines write to, as the contract suites want them. Suites say which reporter it is."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.testing import ReporterContract


class Mendable(io.StringIO):
    """A stream that can be broken and mended."""

    broken = False

    def write(self, text: str) -> int:
        """Write, or not."""
        if self.broken:
            raise OSError("broken")
        return super().write(text)


class FarEnd(ReporterContract):
    """What writes somewhere."""

    def writing(self, registry: Optional[Registry], **where: Any) -> Reporter:
        """Make a reporter that writes to a `stream` or a `path`."""
        raise NotImplementedError


class ToAStream(FarEnd):
    """To a stream that all reporters of a test write to."""

    @pytest.fixture(autouse=True)
    def _stream(self) -> None:
        self.stream = Mendable()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the stream."""
        return self.writing(registry, stream=self.stream)

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Write to a folder that is not there."""
        return self.writing(registry, path="/there/is/no/such/folder/stats.json")

    def received(self) -> Optional[int]:
        """Count the lines."""
        return self.stream.getvalue().count("\n")

    def break_far_end(self) -> None:
        """Break the stream."""
        self.stream.broken = True

    def mend_far_end(self) -> None:
        """Mend it."""
        self.stream.broken = False


class ToAFile(FarEnd):
    """To a file that it opens and closes itself."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "stats.json"

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the file."""
        return self.writing(registry, path=self.path)

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Write to something that is a folder."""
        self.path.mkdir()
        return self.make_reporter(registry)

    def received(self) -> Optional[int]:
        """Count the lines."""
        return self.path.read_text().count("\n")


class ToAPipe(FarEnd):
    """To somebody who reads, or not."""

    @pytest.fixture(autouse=True)
    def _pipe(self) -> Iterator[None]:
        reading, self.pipe = os.pipe()
        self.stream = os.fdopen(self.pipe, "w", encoding="ascii")
        yield
        os.close(reading)  # which wakes a report that hangs
        with contextlib.suppress(BrokenPipeError):
            self.stream.close()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the pipe."""
        return self.writing(registry, stream=self.stream)

    def hang_far_end(self) -> None:
        """Fill the pipe."""
        os.set_blocking(self.pipe, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.pipe, b"x" * 4096)
        os.set_blocking(self.pipe, True)
