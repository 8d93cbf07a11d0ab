"""Reporters that report in a thread of their own, when a loop says so."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

import pytest
from tornado.ioloop import IOLoop

import tapes
from tapes import plugins
from tapes.__main__ import main
from tapes.distributed.driving import needs_a_loop
from tapes.errors import PluginError, ReporterError, UnknownPluginError
from tapes.plugins import lookup
from tapes.registry import Registry
from tapes.reporting import Reporter, ScheduledReporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.push import PushReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.driver import LoopDriven, on_loop
from tapes.reporting.tornado.http import TornadoHTTPReporter
from tapes.reporting.tornado.statsd import TornadoStatsdReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter
from tapes.testing import ManualClock, MemoryReporter
from tests.conftest import PATIENCE, RunScript, Until
from tests.reporting import tally
from tests.reporting.lines import statistics
from tests.reporting.tally import TallyReporter, TallySender
from tests.tornado.conftest import ClockedLoop, LoopThread, happened


class Inner(ScheduledReporter):
    """Notes what is called, and waits for the test if it is to."""

    def __init__(self, interval: float = 3600, registry: Optional[Registry] = None) -> None:
        super().__init__(interval, Registry() if registry is None else registry)
        self.calls: List[str] = []
        self.threads: List[threading.Thread] = []
        self.release = threading.Event()
        self.release.set()

    def open(self) -> None:
        """Note it."""
        self.calls.append("open")

    def report(self) -> None:
        """Note it and wait."""
        self.calls.append("report")
        self.threads.append(threading.current_thread())
        self.release.wait(PATIENCE)
        self.calls.append("reported")

    def close(self) -> None:
        """Note it."""
        self.calls.append("close")

    def close_inherited(self) -> None:
        """Note it."""
        self.calls.append("close inherited")


class Driven(LoopDriven, Inner):
    """The same, when a loop says so."""


Make = Callable[..., Driven]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make reporters that wait for nothing, at the end at least."""
    made: List[Driven] = []

    def make(*options: Any, io_loop: Optional[IOLoop] = None) -> Driven:
        made.append(Driven(*(options or (3600,)), io_loop=io_loop))
        return made[-1]

    yield make
    for reporter in made:
        reporter.release.set()


def test_a_thread_reports(make: Make, loop_thread: LoopThread, until: Until) -> None:
    """It is opened, makes the reports in one daemon thread named after the reporter, and is closed."""
    reporter = make(io_loop=loop_thread.io_loop)

    reporter.start()
    until(lambda: reporter.reports == 1)
    reporter.stop()

    assert reporter.calls == ["open", "report", "reported", "report", "reported", "close"]
    assert (reporter.reports, reporter.running) == (2, False)
    assert [(thread.name, thread.daemon) for thread in set(reporter.threads)] == [("tapes-Driven", True)]


def test_what_was_due_during_a_report_is_left_out(make: Make, until: Until) -> None:
    """A report that takes longer than the interval is followed by the next one that is due, and overlaps with none."""
    clock = ManualClock()
    loop = LoopThread(ClockedLoop(clock))
    reporter = make(10, Registry(clock=clock), io_loop=loop.io_loop)
    reporter.release.clear()
    reporter.start()
    until(lambda: len(reporter.threads) == 1)

    for _ in range(5):
        clock.settle()
        clock.advance(5)
    clock.settle()
    reporter.release.set()
    until(lambda: reporter.idle)
    assert len(reporter.threads) == 1
    clock.advance(4.5)
    clock.settle()
    assert len(reporter.threads) == 1
    clock.advance(0.5)
    until(lambda: reporter.reports == 2)

    reporter.stop()
    loop.close()
    assert reporter.reports == 3


def test_a_loop_goes_on_while_a_report_hangs(make: Make) -> None:
    """Nothing that the loop does waits for a report; a stop on its thread waits for it, and for the last one."""
    reporter = make()
    reporter.release.clear()

    async def main() -> None:
        reporter.start()
        await happened(lambda: reporter.threads)
        for _ in range(100):
            await asyncio.sleep(0)
        assert reporter.calls == ["open", "report"]
        threading.Timer(0.05, reporter.release.set).start()
        reporter.stop(PATIENCE)
        assert reporter.calls == ["open", "report", "reported", "report", "reported", "close"]

    asyncio.run(main())

    assert reporter.reports == 2


def test_a_stop_on_the_thread_of_the_loop_has_a_deadline(
    make: Make, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """A report that hangs is left behind."""
    reporter = make()
    reporter.release.clear()

    async def main() -> None:
        reporter.start()
        await asyncio.sleep(0.01)
        reporter.stop(0.05)

    asyncio.run(main())

    assert [record.getMessage() for record in caplog.records] == [
        "Driven(interval=3600) did not stop within 0.05 s: it is abandoned, and its last report may be lost."
    ]
    reporter.release.set()
    until(lambda: reporter.calls[-1] == "close")
    assert reporter.calls.count("report") == 1


def test_a_signal_handler_stops_it(make: Make) -> None:
    """A handler on the thread of the loop gets the last report made before it returns."""
    reporter = make()
    seen: List[int] = []

    def stop(number: int, frame: object) -> None:
        reporter.stop()
        seen.append(reporter.reports)

    async def main() -> None:
        reporter.start()
        await happened(lambda: reporter.reports)
        signal.raise_signal(signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, stop)
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGUSR1, previous)

    assert seen == [2]
    assert reporter.calls[-1] == "close"


def test_what_is_inherited_is_closed_in_a_child(make: Make, loop_thread: LoopThread, until: Until) -> None:
    """In a forked child it closes what it has inherited, and opens its own."""
    reporter = make(io_loop=loop_thread.io_loop)
    reporter.start()
    until(lambda: reporter.idle and reporter.reports)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            reporter.stop()
            os.write(writing, json.dumps([reporter.calls, reporter.reports]).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    reporter.stop()

    calls, reports = json.loads(os.read(reading, 65536))
    os.close(reading)
    os.close(writing)
    assert calls == ["open", "report", "reported", "close inherited", "open", "report", "reported", "close"]
    assert reports == 1
    assert reporter.calls == ["open", "report", "reported", "report", "reported", "close"]


# Which classes there are.


def test_a_reporter_is_driven_by_a_loop_instead(loop_thread: LoopThread, tmp_path: Path, until: Until) -> None:
    """What makes a class of any reporter that pushes always makes the same one, which reports like it on a loop."""
    cls = on_loop(TallyReporter)
    path = tmp_path / "tally"
    with cls(3600, str(path), "lines", Registry(), loop_thread.io_loop, width=2) as reporter:
        until(lambda: reporter.reports)

    assert path.read_text() == "00 lines\n" * 2
    assert on_loop(TallyReporter) is on_loop(cls) is cls
    assert (cls.__name__, cls.__mro__[1:3]) == ("TornadoTallyReporter", (LoopDriven, TallyReporter))


def test_the_loop_comes_after_the_registry() -> None:
    """The constructor takes what that of the reporter takes, with a loop and no clock; its documentation says so."""
    parameters = inspect.signature(on_loop(TallyReporter)).parameters
    paragraphs = str(inspect.getdoc(on_loop(TallyReporter).__init__)).split("\n\n")

    assert list(parameters) == ["interval", "path", "unit", "registry", "io_loop", "width"]
    assert (parameters["io_loop"].annotation, parameters["io_loop"].default) == (Optional[IOLoop], None)
    assert [parameters[name].kind.name for name in ("io_loop", "width")] == ["POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"]
    assert paragraphs[1] == inspect.getdoc(TallySender.__init__)
    assert paragraphs[2].startswith("`io_loop` keeps the time")
    assert len(paragraphs) == 3


def test_a_constructor_of_its_own_is_kept() -> None:
    """A reporter may have one, and so may the one on the loop, which need not take a loop."""

    class Own(LoopDriven, Inner):
        def __init__(self, name: str) -> None:
            super().__init__(60, Registry(), None)
            self.name = name

    class Derived(Own):
        pass

    class Named(LoopDriven, PushReporter):
        sender = TallySender

    assert list(inspect.signature(on_loop(Inner)).parameters) == ["interval", "registry", "io_loop"]
    assert list(inspect.signature(Derived).parameters) == ["name"]
    assert (Derived("x").name, Derived("x").interval) == ("x", 60)
    assert inspect.signature(Named) == inspect.signature(on_loop(TallyReporter))


@pytest.mark.parametrize(
    ("reporter", "needed"),
    [
        (on_loop(TallyReporter), True),
        (TornadoScheduledReporter, True),
        (TornadoHTTPReporter, True),
        (TallyReporter, False),
        (HTTPReporter, False),
    ],
)
def test_a_reporter_says_whether_it_needs_a_loop(reporter: type[Reporter], needed: bool) -> None:
    """So that an aggregator runs one where it drives such a reporter."""
    assert reporter.needs_loop is needed
    assert not needs_a_loop([MemoryReporter(10)])
    assert needs_a_loop([MemoryReporter(10), on_loop(MemoryReporter)(10)])


def test_a_name_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tornado-NAME` is the reporter of that name on a loop, unless a plugin says that it is another one."""
    tally.install(tmp_path, monkeypatch, lines="tapes.reporting.stream:ThreadedStreamReporter")
    stream = plugins.reporter_class("tornado-stream")

    assert plugins.reporter_class("tornado-tally") is on_loop(TallyReporter)
    assert plugins.reporter_class("tornado-lines") is on_loop(ThreadedStreamReporter)
    assert stream is TornadoStreamReporter


def test_a_check_of_a_configuration_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the distribution of what is driven."""
    tally.install(tmp_path, monkeypatch)
    config = tmp_path / "tapes.toml"
    config.write_text(f"[reporters.tornado-tally]\ninterval = 1\npath = {str(tmp_path / 'tally')!r}\n")

    assert main(["check", str(config)]) == 0
    assert f"reporters.tornado-tally: TornadoTallyReporter of {plugins.origin_of('tally')}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("tornado-memory", r"'tornado-memory': 'memory' is no tapes\.reporting\.push\.PushReporter"),
        ("tornado-nothing", r"There is no reporter 'tornado-nothing'\. "),
        ("asyncio-tally", r"There is no reporter 'asyncio-tally'\. "),
    ],
)
def test_a_name_of_nothing_is_unknown(name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what pushes can be driven by a loop, and what is there."""
    tally.install(tmp_path, monkeypatch, memory="tapes.testing:MemoryReporter")
    with pytest.raises(UnknownPluginError, match=fault):
        plugins.reporter_class(name)


def test_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where tapes-tornado is installed, below the distribution of what is driven; what cannot be driven is not."""
    tally.install(tmp_path, monkeypatch, memory="tapes.testing:MemoryReporter")
    monkeypatch.delenv("TAPES_CONFIG", raising=False)
    main(["plugins"])
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    plugins.block("tornado")
    main(["plugins"])
    without = capsys.readouterr().out

    assert [line[1:] for line in listed if line[:1] == ["tornado-tally"]] == [
        [*plugins.origin_of("tally").split(), "ok"]
    ]
    assert not [line for line in listed if line[:1] in (["tornado-memory"], ["tornado-tornado-stream"])]
    assert "tornado-tally" not in without


def test_a_plugin_that_is_blocked_drives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tapes-tornado there is no name that begins with `tornado-`."""
    tally.install(tmp_path, monkeypatch)
    plugins.block("tornado")
    with pytest.raises(UnknownPluginError, match="There is no reporter 'tornado-tally'"):
        plugins.reporter_class("tornado-tally")


def test_a_reporter_that_takes_no_registry_cannot_be_driven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that names it says which reporter it is, and what to use."""

    class Plain(TallyReporter):
        def __init__(self, interval: float) -> None:
            super().__init__(interval)

    monkeypatch.setattr("tapes.plugins.lookup.reporter_class", lambda name: Plain)

    with pytest.raises(PluginError, match=r"'tornado-plain' cannot be used: .*Plain takes no registry.*Use 'plain'"):
        lookup._driven("tornado", "plain")


# The two that there are.


def test_they_call_themselves_by_their_names() -> None:
    """repr() shows the name of the reporter that was made, with its options."""

    class Mine(TornadoStreamReporter):
        pass

    assert repr(TornadoStreamReporter(10)) == "TornadoStreamReporter(interval=10)"
    assert repr(TornadoStreamReporter(10, path="/var/log/stats")) == (
        "TornadoStreamReporter(interval=10, path='/var/log/stats')"
    )
    assert repr(Mine(1)) == "Mine(interval=1)"
    assert repr(TornadoStatsdReporter(10, prefix="shop")).startswith("TornadoStatsdReporter(interval=10, ")


def test_errors_name_the_reporter_that_the_user_knows(
    loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """What the sender says in an error is said in the name of the reporter that was made."""
    monkeypatch.setattr("sys.stdout", None)
    reporter = TornadoStreamReporter(3600, registry=Registry(), io_loop=loop_thread.io_loop)

    with reporter:
        until(lambda: reporter.failures)

    assert isinstance(reporter.last_error, ReporterError)
    assert str(reporter.last_error).startswith("TornadoStreamReporter(interval=3600) has no stream to write to")


def test_without_tapes_statsd_it_says_what_to_install(run_script: RunScript) -> None:
    """Where tapes-statsd is not installed, importing the reporter says how to install it."""
    done = run_script("""
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name == "tapes.reporting.statsd":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Missing())
        try:
            import tapes.reporting.tornado.statsd
        except ImportError as error:
            print(type(error).__name__, error)
    """)

    assert done.stdout == (
        "ImportError tapes.reporting.tornado.statsd needs tapes-statsd, which is not installed: "
        "pip install 'tapes-tornado[statsd]'\n"
    )


def test_a_tapes_statsd_that_is_broken_is_not_called_missing(run_script: RunScript) -> None:
    """Where something that tapes-statsd needs is missing, the error names that."""
    done = run_script("""
        import sys
        sys.modules["tapes.reporting.statsd.connection"] = None
        try:
            import tapes.reporting.tornado.statsd
        except ImportError as error:
            print(error.name, "tornado" in str(error))
    """)

    assert done.stdout == "tapes.reporting.statsd.connection False\n"


def test_a_configuration_makes_it(tmp_path: Path) -> None:
    """It is found by its name, and reports on a loop that runs later."""
    registry = Registry()
    registry.counter("orders").increment(2)
    path = tmp_path / "stats.json"
    config = {"reporters": {"tornado-stream": {"interval": 3600, "path": str(path)}}}
    handle = tapes.configure(config, registry=registry)

    async def main() -> None:
        IOLoop.current()
        await happened(lambda: handle.reporters["tornado-stream"].reports)

    asyncio.run(main())
    handle.stop()

    assert statistics(path.read_text()) == [{"orders": {"value": 2}}] * 2
