"""Reporters that push: what they make of a sender."""

from __future__ import annotations

import inspect
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Iterator, List, Optional, Union, get_type_hints

import pytest

from tapes.clock import Clock
from tapes.errors import ConfigError
from tapes.registry import Registry
from tapes.reporting.push import Context, PushReporter, Sender
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.snapshot import Snapshot
from tapes.testing import ManualClock
from tests.conftest import PATIENCE, RunScript, Until
from tests.reporting import tally
from tests.reporting.tally import TallyReporter, TallySender


class Noting:
    """Notes what is called, and waits in `send()` for the test if it is to."""

    calls: ClassVar[List[str]]
    release: threading.Event
    fault: Optional[OSError] = None
    sends: int = 0

    def open(self) -> None:
        """Note it, or fail."""
        if self.fault is not None:
            raise self.fault
        self.calls.append("open")

    def send(self, snapshot: Snapshot) -> None:
        """Note it, and wait."""
        self.sends += 1
        self.calls.append(f"send {self.sends}")
        self.release.wait(PATIENCE)
        self.calls.append(f"sent {self.sends}")

    def close(self) -> None:
        """Note it."""
        self.calls.append("close")


@pytest.fixture
def noting() -> Iterator[type[Noting]]:
    """Make a class of senders that note what is called in one list."""

    class Sender(Noting):
        calls: ClassVar[List[str]] = []
        release = threading.Event()

    Sender.release.set()
    yield Sender
    Sender.release.set()


@pytest.fixture
def make(noting: type[Noting]) -> Any:
    """Make reporters that send by these."""

    class Reporter(PushReporter):
        sender = noting

    return Reporter


def test_the_constructor_is_made_of_that_of_the_sender() -> None:
    """What the sender takes by position comes before the registry, and what it takes by keyword before the clock."""
    parameters = inspect.signature(TallyReporter).parameters

    assert str(list(parameters)) == "['interval', 'path', 'unit', 'registry', 'width', 'clock']"
    assert [name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY] == ["width", "clock"]
    assert [parameters[name].default for name in ("unit", "registry", "width", "clock")] == ["series", None, 1, None]
    assert get_type_hints(TallyReporter.__init__) == {
        "interval": Union[timedelta, float],
        "path": str,
        "unit": str,
        "registry": Optional[Registry],
        "width": int,
        "clock": Optional[Clock],
        "return": type(None),
    }


def test_options_are_documented_by_the_sender() -> None:
    """The documentation of the constructor has that of the sender's in it, in the place of the options."""
    every, options, clock = str(inspect.getdoc(TallyReporter.__init__)).split("\n\n")

    assert every.startswith("Report on `registry`")
    assert options == inspect.getdoc(TallySender.__init__)
    assert clock.startswith("`clock` says")
    assert type("Undocumented", (PushReporter,), {"sender": TallySender}).__doc__ == TallySender.__doc__


def test_arguments_reach_the_sender(tmp_path: Path) -> None:
    """By position and by name, those of the reporter and those of the sender."""
    registry, clock = Registry(), ManualClock()
    registry.counter("orders")
    reporter = TallyReporter(timedelta(seconds=5), str(tmp_path / "tally"), "lines", registry, width=3, clock=clock)
    with reporter:
        pass

    assert (reporter.interval, reporter.registry, reporter.clock) == (5, registry, clock)
    assert (tmp_path / "tally").read_text() == "001 lines\n" * 2


@pytest.mark.parametrize(
    ("arguments", "options", "fault"),
    [
        ((), {}, "TallyReporter: missing a required argument: 'interval'"),
        ((1,), {}, "TallyReporter: missing a required argument: 'path'"),
        ((1, "a"), {"height": 2}, "TallyReporter: got an unexpected keyword argument 'height'"),
        ((1, "a", "b", None, 3), {}, "TallyReporter: too many positional arguments"),
    ],
)
def test_wrong_arguments_are_type_errors(arguments: Any, options: Any, fault: str) -> None:
    """As of any other constructor."""
    with pytest.raises(TypeError, match=fault):
        TallyReporter(*arguments, **options)


@pytest.mark.parametrize("name", ["tally", "tornado-tally"])
def test_a_configuration_checks_the_types_of_options(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types are those of the sender's constructor, whatever drives the reporter; what only code can give is refused."""
    tally.install(tmp_path, monkeypatch)
    with pytest.raises(ConfigError) as caught:
        tally.configured(name, None, interval="often", path=3, width=0.5, clock=1, unti="x")

    cls = "TornadoTallyReporter" if name.startswith("tornado") else "TallyReporter"
    clock = {
        "tally": "this cannot be set in a config, it can only be given in code",
        "tornado-tally": f"unknown option; {cls} takes interval, path, unit, width",
    }[name]
    assert list(caught.value.faults) == [
        f"reporters.{name}.interval: 'often' (str) is not a number of seconds",
        f"reporters.{name}.path: 3 (int) is not a string",
        f"reporters.{name}.width: 0.5 (float) is not an integer",
        f"reporters.{name}.clock: {clock}",
        f"reporters.{name}.unti: unknown option, did you mean 'unit'?; {cls} takes interval, path, unit, width",
    ]


@pytest.mark.parametrize("method", ["open", "send", "close"])
def test_a_sender_has_three_methods_that_are_called_in_a_thread(method: str) -> None:
    """What is missing, or would be a coroutine that nobody awaits, is an error where the class is made."""

    async def later(self: object, *arguments: object) -> None: ...

    asynchronous = type("Later", (Noting,), {method: later})
    lacking = type("Lacking", (), {name: vars(Noting)[name] for name in {"open", "send", "close"} - {method}})

    with pytest.raises(TypeError, match=rf"Reporter sends by Later, whose {method}\(\) is asynchronous"):
        type("Reporter", (PushReporter,), {"sender": asynchronous})
    with pytest.raises(TypeError, match=rf"Reporter sends by Lacking, which has no {method}\(\)"):
        type("Reporter", (PushReporter,), {"sender": lacking})


def test_a_sender_has_no_option_that_a_reporter_has() -> None:
    """The class cannot be made, and neither can that of a sender whose options are not known."""

    class Clocked(Noting):
        def __init__(self, clock: object = None) -> None: ...

    class Anything(Noting):
        def __init__(self, **options: object) -> None: ...

    with pytest.raises(TypeError, match=r"Clocked'> has an option 'clock', as every reporter has: name it differently"):
        type("Reporter", (PushReporter,), {"sender": Clocked})
    with pytest.raises(TypeError, match=r"Anything'> takes options without a name, \*\*options"):
        type("Reporter", (PushReporter,), {"sender": Anything})
    with pytest.raises(TypeError, match="Nothing has no sender"):
        type("Nothing", (PushReporter,), {})(10)


def test_a_sender_may_take_options_without_their_names() -> None:
    """The reporter takes them with their names, too, as a configuration gives them."""

    class Sending(Noting):
        def __init__(self, host: str, port: int = 1, /, path: str = "", *, key: str = "") -> None:
            super().__init__()
            self.options = (host, port, path, key)

    class Reporter(PushReporter):
        sender = Sending

    by_position: Any = Reporter(1, "h", 2, "p", key="k")
    by_name: Any = Reporter(interval=1, host="h", path="p")

    assert by_position._sender.options == ("h", 2, "p", "k")
    assert by_name._sender.options == ("h", 1, "p", "")


def test_a_sender_may_derive_from_the_protocol(tmp_path: Path) -> None:
    """With a constructor or without one."""

    class Bare(Sender):
        def send(self, snapshot: Snapshot, /) -> None:
            (tmp_path / "sent").touch()

    class Derived(TallySender, Sender):
        pass

    bare: Any = type("BareReporter", (PushReporter,), {"sender": Bare})
    derived = type("DerivedReporter", (PushReporter,), {"sender": Derived})
    with bare(10, Registry()):
        pass

    assert (tmp_path / "sent").exists()
    assert list(inspect.signature(bare).parameters) == ["interval", "registry", "clock"]
    assert inspect.signature(derived) == inspect.signature(TallyReporter)


def test_documentation_that_was_left_out_is_not_needed(run_script: RunScript) -> None:
    """`python -OO` has no docstrings, and none is made of those of others there."""
    done = run_script("""
        import subprocess, sys
        program = "from tapes.reporting.stream import ThreadedStreamReporter as made; print(made(1), made.__doc__)"
        sys.exit(subprocess.call([sys.executable, "-OO", "-c", program]))
    """)

    assert (done.stdout, done.stderr) == ("ThreadedStreamReporter(interval=1) None\n", "")


def test_a_constructor_of_its_own_is_kept(tmp_path: Path) -> None:
    """It passes on what the sender takes, and a subclass without one has the nearest."""

    class Mine(PushReporter):
        sender = TallySender

        def __init__(self, name: str, registry: Registry) -> None:
            super().__init__(3600, str(tmp_path / name), registry=registry, width=2)

    class Yours(Mine):
        pass

    with Yours("tally", Registry()):
        pass

    assert list(inspect.signature(Yours).parameters) == ["name", "registry"]
    assert (tmp_path / "tally").read_text() == "00 series\n" * 2


def test_a_report_can_be_overridden() -> None:
    """Whoever derives from a reporter may do something before and after each report, or leave it out."""
    written: List[str] = []

    class Stream(ThreadedStreamReporter):
        def report(self) -> None:
            written.append("before")
            super().report()

    with open(os.devnull, "w", encoding="ascii") as stream, Stream(3600, stream, Registry()):
        pass

    assert written == ["before"] * 2


def test_a_sender_is_opened_for_each_run(make: Any, noting: Any) -> None:
    """It is opened at the start and closed after the last report; a report without a start opens it by itself."""
    reporter = make(3600, Registry())
    for _ in range(2):
        with reporter:
            pass
    reporter.report()
    reporter.close()

    run = ["open", "send 1", "sent 1", "send 2", "sent 2", "close"]
    again = ["open", "send 3", "sent 3", "send 4", "sent 4", "close"]
    assert noting.calls == [*run, *again, "open", "send 5", "sent 5", "close"]


def test_a_run_that_hangs_keeps_its_sender_to_itself(make: Any, noting: Any, until: Until) -> None:
    """The next run closes it and has a copy of its own; what hung goes on with its own, and closes nothing."""
    reporter = make(3600, Registry())
    noting.release.clear()
    reporter.start()
    until(lambda: noting.calls == ["open", "send 1"])
    hung = reporter._sender
    reporter.stop(0.01)
    reporter.start()
    until(lambda: len(noting.calls) == 5)
    assert noting.calls == ["open", "send 1", "close", "open", "send 2"]
    hung.sends = 100
    noting.release.set()
    until(lambda: "sent 100" in noting.calls and "sent 2" in noting.calls)
    reporter.stop()

    assert [call for call in noting.calls[5:] if call != "sent 100"] == ["sent 2", "send 3", "sent 3", "close"]


def test_what_cannot_be_opened_in_a_child_is_tried_again(make: Any, noting: Any) -> None:
    """Nobody has made a mistake there: the reports fail until it can be opened. At a start it reaches the caller."""
    reporter = make(3600, Registry())
    noting.fault = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        reporter.start()
    reporter.close_inherited()  # as the hook after a fork does
    reporter.open()
    with pytest.raises(OSError, match="gone"):
        reporter.report()
    noting.fault = None
    reporter.report()

    assert noting.calls == ["close", "open", "send 1", "sent 1"]


class Curious(Noting):
    """Notes in which context it sends."""

    release = threading.Event()
    calls: ClassVar[List[str]] = []
    contexts: ClassVar[List[Context]] = []
    context = Context("", ManualClock(), {}, 0)

    def __init__(self, destination: Optional[str] = None) -> None:
        self.destination = destination

    def send(self, snapshot: Snapshot) -> None:
        """Note it."""
        self.contexts.append(self.context)

    def __str__(self) -> str:
        return f"to {self.destination}" if self.destination else ""


class CuriousReporter(PushReporter):
    """Sends by one."""

    sender = Curious


def test_a_sender_knows_for_whom_it_sends() -> None:
    """It is told the name of the reporter, its clock and the notes of its registry, and the number of each snapshot."""
    Curious.contexts.clear()
    registry = Registry()
    here, there, too = (CuriousReporter(10, place, registry) for place in ("here", "there", "here"))
    for reporter in (here, there, too, here, CuriousReporter(5, None, registry)):
        reporter.report()

    assert [(context.reporter, context.number) for context in Curious.contexts] == [
        ("CuriousReporter(interval=10, to here)", 1),
        ("CuriousReporter(interval=10, to there)", 1),
        ("CuriousReporter(interval=10, to here)", 2),
        ("CuriousReporter(interval=10, to here)", 3),
        ("CuriousReporter(interval=5)", 0),
    ]
    assert all(context.clock is registry.clock for context in Curious.contexts)
    assert all(context.notes is registry.notes for context in Curious.contexts[:4])


def test_snapshots_for_a_destination_are_taken_one_after_the_other(until: Until) -> None:
    """While one reporter takes its snapshot, others to the same destination wait; the numbers say the order."""
    Curious.contexts.clear()
    registry = Registry()
    entered, leave = threading.Event(), threading.Event()
    inside: List[int] = []

    def hang() -> int:
        inside.append(1)
        entered.set()
        leave.wait(PATIENCE)
        return len(inside)

    registry.gauge("slow", hang)
    threads = [threading.Thread(target=CuriousReporter(10, "here", registry).report) for _ in range(3)]
    threads[0].start()
    assert entered.wait(PATIENCE)
    for thread in threads[1:]:
        thread.start()
    elsewhere = threading.Thread(target=CuriousReporter(10, "there", registry).report)
    elsewhere.start()
    until(lambda: len(inside) == 2)  # which asks for the gauge, and does not wait for the others
    leave.set()
    for thread in [*threads, elsewhere]:
        thread.join(PATIENCE)

    assert sorted(context.number for context in Curious.contexts if "to here" in context.reporter) == [1, 2, 3]
    assert len(inside) == 4


def test_a_sender_sends_one_snapshot_at_a_time(make: Any, noting: type[Noting], until: Until) -> None:
    """Whoever calls `report()`: what a sender is told of a snapshot would be that of another one."""
    noting.release.clear()
    reporter = make(10, Registry())
    first, second = threading.Thread(target=reporter.report), threading.Thread(target=reporter.report)
    first.start()
    until(lambda: "send 1" in noting.calls)
    second.start()
    second.join(0.05)
    calls = list(noting.calls)
    noting.release.set()
    first.join(PATIENCE)
    second.join(PATIENCE)

    assert calls == ["open", "send 1"]
    assert noting.calls == ["open", "send 1", "sent 1", "send 2", "sent 2"]


def test_a_run_that_was_given_up_sends_nothing_when_its_sender_is_open_at_last(until: Until) -> None:
    """Another run has begun meanwhile, with a sender of its own."""
    calls: List[str] = []
    go_on = threading.Event()

    class Slow:
        def open(self) -> None:
            calls.append("open")
            if len(calls) == 1:
                go_on.wait(PATIENCE)

        def send(self, snapshot: Snapshot) -> None:
            calls.append(f"send by {threading.current_thread().name}")

        def close(self) -> None:
            calls.append("close")

    class SlowReporter(PushReporter):
        sender = Slow

    reporter = SlowReporter(60, Registry())
    late = threading.Thread(target=reporter.report, name="late")
    late.start()
    until(lambda: calls == ["open"])
    with reporter:
        until(lambda: len(calls) == 3)
        go_on.set()
        late.join(PATIENCE)

    assert "send by late" not in calls
    assert calls[:2] == ["open", "open"]
    assert calls.count("close") == 2


def test_a_sender_that_cannot_be_closed_is_in_nobodys_way(until: Until) -> None:
    """A run that hung has left it open, and the next one closes it."""

    class Stuck(Noting):
        calls: ClassVar[List[str]] = []
        release = threading.Event()

        def close(self) -> None:
            super().close()
            raise ValueError("It cannot be closed.")

    class StuckReporter(PushReporter):
        sender = Stuck

    reporter = StuckReporter(60, Registry())
    reporter.start()
    until(lambda: "send 1" in Stuck.calls)
    reporter.stop(timeout=0.01)
    reporter.start()
    Stuck.release.set()
    reporter.stop()

    assert Stuck.calls.count("open") == 2


def test_a_start_by_the_user_raises_in_a_child_too(run_script: RunScript) -> None:
    """A reporter that does not go on by itself there is started by somebody, who learns what is wrong."""
    result = run_script("""
        import os
        from tapes import Registry
        from tapes.reporting.push import PushReporter

        class Sender:
            fault = None
            def open(self):
                if self.fault:
                    raise self.fault
            def send(self, snapshot): pass
            def close(self): pass

        class Reporter(PushReporter):
            sender = Sender
            survives_fork = False

        with Reporter(60, Registry()) as reporter:
            child = os.fork()
            if not child:
                Sender.fault = PermissionError("It cannot be opened.")
                try:
                    reporter.start()
                except PermissionError:
                    os._exit(7)
                os._exit(0)
            print(os.waitpid(child, 0)[1] >> 8)
    """)

    assert (result.stdout, result.stderr) == ("7\n", "")


def test_nothing_is_sent_while_an_isolation_begins() -> None:
    """A snapshot that may be of both sides is not sent to who keeps what it has sent; to others it is."""
    Curious.contexts.clear()
    registry = Registry()
    isolations: List[Any] = []

    def isolate() -> int:
        if not isolations:
            isolations.append(registry.isolated())
            isolations[0].__enter__()
        return 1

    registry.gauge("meanwhile", isolate)
    CuriousReporter(10, "here", registry).report()
    assert Curious.contexts == []
    isolations.pop().__exit__(None, None, None)
    CuriousReporter(10, None, registry).report()
    isolations.pop().__exit__(None, None, None)

    assert [context.number for context in Curious.contexts] == [0]
