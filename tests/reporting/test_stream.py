"""Lines of JSON to streams and files, good ones and bad ones."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import select
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, Callable, List, TextIO

import pytest

from tapes.errors import ReporterOptionError
from tapes.registry import Registry
from tapes.reporting.logfile import LogFile
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.stream_sender import StreamSender
from tapes.testing import ManualClock
from tests.conftest import RunScript
from tests.reporting.lines import statistics


class Recording(io.StringIO):
    """A stream that writes down what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: List[str] = []
        self.error: Any = None

    def write(self, text: str) -> int:
        """Note it."""
        self.calls.append(text)
        if self.error is not None:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        """Note it."""
        if not self.closed:
            self.calls.append("flush")


@pytest.fixture
def registry() -> Registry:
    """Make a registry that holds one counter."""
    registry = Registry(clock=ManualClock(1764294192.3459))
    registry.counter("shop.orders", {"country": "Ñandú"}).increment(3)
    return registry


FACTS = f'"tapes.report":{{"time":"2025-11-28T01:43:12.345Z","host":"{socket.gethostname()}","pid":{os.getpid()}}}'
LINE = f'{{{FACTS},"shop":{{"orders":{{"country=\\u00d1and\\u00fa":{{"value":3}}}}}}}}\n'


def test_each_document_is_one_write_and_a_flush(registry: Registry) -> None:
    """A report is one call of write() with a whole line, and then one of flush()."""
    stream = Recording()
    reporter = ThreadedStreamReporter(10, stream, registry)

    reporter.report()
    reporter.report()

    assert stream.calls == [LINE, "flush", LINE, "flush"]


def test_the_tree_is_that_of_get_stats(registry: Registry) -> None:
    """What is written is what get_stats() returns, and one key more, which no metric can have."""
    registry.timer("shop.latency").update(0.25)
    stream = io.StringIO()

    ThreadedStreamReporter(10, stream, registry).report()

    assert statistics(stream.getvalue()) == [registry.get_stats()]


def test_standard_output_is_looked_up_at_each_report(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stream reports go to what sys.stdout is then, not to what it was at the start."""
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", first)
    reporter = ThreadedStreamReporter(10, registry=registry)

    reporter.report()
    monkeypatch.setattr(sys, "stdout", second)
    reporter.report()

    assert (first.getvalue(), second.getvalue()) == (LINE, LINE)


def test_a_program_without_standard_output_is_not_troubled(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where sys.stdout is None, as in windowed programs, reports fail and say what to do, and nothing is raised."""
    monkeypatch.setattr(sys, "stdout", None)
    reporter = ThreadedStreamReporter(10, registry=registry)

    with reporter:
        pass

    assert (reporter.reports, reporter.failures) == (0, 2)
    assert "Give it a stream or a path" in str(reporter.last_error)
    assert len(caplog.records) == 1


def test_a_borrowed_stream_is_left_open(registry: Registry, tmp_path: Path) -> None:
    """Neither stop() nor the end of the reporter closes a stream that it was given."""
    with open(tmp_path / "stats.json", "w", encoding="utf-8") as stream:
        with ThreadedStreamReporter(10, stream, registry):
            pass

        assert not stream.closed
        stream.write("mine\n")

    assert (tmp_path / "stats.json").read_text() == LINE * 2 + "mine\n"


def test_what_the_program_has_written_to_the_stream_comes_first(registry: Registry, tmp_path: Path) -> None:
    """Text that waits in the buffer of a file is written before a document, in order."""
    with open(tmp_path / "stats.json", "w", encoding="utf-8") as stream:
        reporter = ThreadedStreamReporter(10, stream, registry)
        stream.write("before\n")
        reporter.report()
        stream.write("between\n")
        reporter.report()
        stream.write("after\n")

    assert (tmp_path / "stats.json").read_text() == f"before\n{LINE}between\n{LINE}after\n"


def test_a_stream_in_another_encoding_is_written_in_it(registry: Registry, tmp_path: Path) -> None:
    """A file that is opened as UTF-16 stays one."""
    path = tmp_path / "stats.json"

    with open(path, "w", encoding="utf-16") as stream, ThreadedStreamReporter(10, stream, registry):
        pass

    assert path.read_text(encoding="utf-16") == LINE * 2


@pytest.mark.parametrize(
    "make",
    [io.StringIO, lambda: open(os.devnull, "w", encoding="utf-8")],  # noqa: SIM115 -- closed on purpose
    ids=["text", "file"],
)
def test_a_closed_stream_is_a_failed_report(
    registry: Registry, caplog: pytest.LogCaptureFixture, make: Callable[[], TextIO]
) -> None:
    """A stream that the program has closed makes failures, one line in the log, and no error in the program."""
    stream = make()
    stream.close()
    reporter = ThreadedStreamReporter(10, stream, registry)

    with reporter:
        pass

    assert (reporter.reports, reporter.failures) == (0, 2)
    assert isinstance(reporter.last_error, ValueError)
    assert len(caplog.records) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_is_a_failed_report(registry: Registry) -> None:
    """Reports to a full disk fail, by stream and by path, and leave nothing in the stream that would fail later."""
    with open("/dev/full", "w", encoding="utf-8") as stream:
        by_stream = ThreadedStreamReporter(10, stream, registry)
        by_path = ThreadedStreamReporter(10, registry=registry, path="/dev/full")
        with by_stream, by_path:
            pass
        stream.flush()

    for reporter in (by_stream, by_path):
        assert (reporter.reports, reporter.failures) == (0, 2)
        assert "No space left" in str(reporter.last_error)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_does_not_change_the_exit_status(run_script: RunScript) -> None:
    """A program whose standard output goes to a full disk ends as it would have without tapes."""
    done = run_script("""
        import os
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, 1)
        from tapes.reporting.stream import ThreadedStreamReporter
        ThreadedStreamReporter(3600).start()
    """)

    assert done.returncode == 0
    assert done.stderr.count("could not report") == 1
    assert "No space left on device. Make room on the disk." in done.stderr
    assert "Traceback" not in done.stderr


class Disk(LogFile):
    """A file on a disk with so much space left."""

    def __init__(self, space: int) -> None:
        super().__init__("unused")
        self.space = space
        self.content = b""

    def follow(self) -> bool:
        """Stay."""
        return False

    def write(self, data: Any) -> int:
        """Write what there is space for."""
        fits = bytes(data)[: self.space]
        if not fits:
            raise OSError(28, "No space left on device")
        self.space -= len(fits)
        self.content += fits
        return len(fits)


def writing_to(disk: Disk, registry: Registry) -> Callable[[], None]:
    """Return what writes a document there."""
    sender = StreamSender(path="unused")
    sender._file = disk
    return lambda: sender.send(registry.snapshot())


@pytest.mark.parametrize("space", [1, 10, len(LINE) - 1])
def test_a_document_that_was_cut_off_ends_its_line(registry: Registry, space: int) -> None:
    """When the disk fills up in the middle of a document, the next whole one stands on a line of its own."""
    disk = Disk(len(LINE) + space)
    write = writing_to(disk, registry)
    write()

    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            write()
    disk.space = 1000
    write()
    write()

    assert disk.content.decode() == f"{LINE}{LINE[:space]}\n{LINE}{LINE}"


def test_a_document_of_which_nothing_was_written_leaves_no_trace(registry: Registry) -> None:
    """When nothing fitted on the disk, no empty line is left."""
    disk = Disk(len(LINE))
    write = writing_to(disk, registry)
    write()

    with pytest.raises(OSError, match="No space"):
        write()
    disk.space = 1000
    write()

    assert disk.content.decode() == LINE * 2


def test_a_stream_that_failed_is_gone_on_with_on_a_new_line(registry: Registry) -> None:
    """How much a stream has written before its error is unknown, so the next document begins a line."""
    stream = Recording()
    reporter = ThreadedStreamReporter(10, stream, registry)
    stream.error = OSError("broken")
    with pytest.raises(OSError, match="broken"):
        reporter.report()

    stream.error = None
    reporter.report()
    reporter.report()

    assert stream.getvalue() == f"\n{LINE}{LINE}"


def test_a_reader_who_is_too_slow_is_a_failed_report(registry: Registry) -> None:
    """A pipe that is full and does not block fails the report instead of writing a part of it for ever."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb"), os.fdopen(writing, "w", encoding="utf-8") as stream:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        reporter = ThreadedStreamReporter(10, stream, registry)

        with pytest.raises(BlockingIOError, match="too slow"):
            reporter.report()


def test_a_pipe_that_cannot_be_locked_is_written_to(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system locks pipes. A line of many bytes is written there all the same."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("fcntl.lockf", refuse)
    for number in range(200):
        registry.counter("shop.visits", {"page": f"{number:060}"})
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        with os.fdopen(writing, "w", encoding="utf-8") as stream:
            ThreadedStreamReporter(10, stream, registry).report()
        written = reader.read()

    assert len(written) > select.PIPE_BUF
    assert len(json.loads(written)["shop"]["visits"]) == 200


def test_a_path_is_appended_to(registry: Registry, tmp_path: Path) -> None:
    """A file that exists is gone on with, over several starts; one that does not is made."""
    path = tmp_path / "stats.json"
    reporter = ThreadedStreamReporter(10, registry=registry, path=path)

    for _ in range(2):
        with reporter:
            pass

    assert path.read_text() == LINE * 4
    assert (reporter.reports, reporter.failures) == (4, 0)


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(registry: Registry, tmp_path: Path) -> None:
    """After a rotation, and after the file was deleted, documents go to the file that has the name then."""
    path = tmp_path / "stats.json"
    reporter = ThreadedStreamReporter(10, registry=registry, path=path)
    reporter.open()
    reporter.report()
    path.rename(tmp_path / "stats.json.1")
    reporter.report()
    path.rename(tmp_path / "stats.json.2")
    path.write_text("begun\n")
    reporter.report()
    path.unlink()
    reporter.report()
    reporter.close()

    assert [(tmp_path / f"stats.json.{number}").read_text() for number in (1, 2)] == [LINE, LINE]
    assert path.read_text() == LINE


def test_a_file_that_was_truncated_is_gone_on_with_at_its_beginning(registry: Registry, tmp_path: Path) -> None:
    """After a rotation that copies the file and empties it, documents begin at its new end, without a hole."""
    path = tmp_path / "stats.json"
    reporter = ThreadedStreamReporter(10, registry=registry, path=path)
    reporter.open()
    reporter.report()
    reporter.report()
    os.truncate(path, 0)
    reporter.report()
    reporter.close()

    assert path.read_text() == LINE


def test_a_line_that_somebody_else_has_not_ended_is_not_gone_on_with(registry: Registry, tmp_path: Path) -> None:
    """What a process has left that was killed while it wrote ends its line where it stands."""
    path = tmp_path / "stats.json"
    path.write_text(f"{LINE}{LINE[:20]}")
    reporter = ThreadedStreamReporter(10, registry=registry, path=path)

    with reporter:
        pass

    assert path.read_text() == f"{LINE}{LINE[:20]}\n{LINE}{LINE}"


def test_a_folder_that_has_vanished_fails_reports_until_it_is_back(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Reports fail while the folder is away, with one line in the log, and go on by themselves when it is there."""
    folder = tmp_path / "logs"
    folder.mkdir()
    reporter = ThreadedStreamReporter(10, registry=registry, path=folder / "stats.json")
    reporter.open()
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=r"logs/stats\.json"):
        reporter.report()

    folder.mkdir()
    reporter.report()

    reporter.close()
    assert (folder / "stats.json").read_text() == LINE


def test_a_relative_path_is_that_of_the_folder_where_the_reporter_was_made(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that goes elsewhere, as daemons do, finds its reports where they were."""
    monkeypatch.chdir(tmp_path)
    reporter = ThreadedStreamReporter(10, registry=registry, path="stats.json")
    monkeypatch.chdir("/")

    with reporter:
        pass

    assert (tmp_path / "stats.json").read_text() == LINE * 2


def test_a_pipe_that_nobody_reads_yet_is_a_failed_report(registry: Registry, tmp_path: Path) -> None:
    """A named pipe without a reader neither holds up the start nor fails it; the first reader gets what comes then."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reporter = ThreadedStreamReporter(10, registry=registry, path=path)
    reporter.open()
    with pytest.raises(OSError, match="pipe"):
        reporter.report()

    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reading:
        reporter.report()
        reporter.close()

        assert reading.read().decode() == LINE


def test_lines_of_several_processes_do_not_get_into_one_another(run_script: RunScript) -> None:
    """Lines that are larger than what a pipe keeps together arrive whole, however slowly they are read."""
    done = run_script(
        """
        import os, sys, tapes
        from tapes.reporting.stream import ThreadedStreamReporter
        for number in range(200):
            tapes.timer(f"shop.timer{number}")
        reading, writing = os.pipe()
        reporter = ThreadedStreamReporter(3600, open(writing, "w"))
        for process in range(4):
            if not os.fork():
                os.close(reading)
                for _ in range(8):
                    reporter.report()
                os._exit(0)
        os.close(writing)
        while True:
            piece = os.read(reading, 3000)
            if not piece:
                break
            sys.stdout.write(piece.decode())
        """
    )

    assert done.returncode == 0, done.stderr
    pids = [json.loads(line)["tapes.report"]["pid"] for line in done.stdout.splitlines()]
    assert sorted(pids.count(pid) for pid in set(pids)) == [8, 8, 8, 8]


@pytest.mark.parametrize(
    ("stream", "path", "named"), [(io.StringIO(), "x", "not both"), ("stats.json", None, "use path")]
)
def test_wrong_options_are_refused(stream: Any, path: Any, named: str) -> None:
    """A stream and a path together, or something that is neither, is refused when the reporter is made."""
    with pytest.raises(ReporterOptionError, match=named):
        ThreadedStreamReporter(10, stream, path=path)


def test_a_reporter_shows_what_it_writes_to(tmp_path: Path) -> None:
    """The name that errors and log lines use tells reporters apart."""
    assert repr(ThreadedStreamReporter(0.5)) == "ThreadedStreamReporter(interval=0.5)"
    assert repr(ThreadedStreamReporter(10, path="/x/y")) == "ThreadedStreamReporter(interval=10, path='/x/y')"
