"""What `configure` starts, and how all of it stops."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

import tapes
from tapes.config import Configuration, configure
from tapes.errors import ConfigError, ReporterError
from tapes.reporting import Reporter
from tapes.testing import ManualClock
from tests.reporting.lines import statistics

if TYPE_CHECKING:
    from pathlib import Path

    from tapes.reporting.run import Run
    from tests.plugins.distributions import Distributions


class Recording(Reporter):
    """Writes down with which timeouts it is stopped, and can be made to hang or to raise."""

    def __init__(self, clock: ManualClock, takes: float = 0.0, error: Exception | None = None) -> None:
        super().__init__(tapes.Registry())
        self.clock = clock
        self.takes = takes
        self.error = error
        self.timeouts: list[float] = []

    def work(self, run: Run) -> None:
        """Do nothing."""

    def stop(self, timeout: float = 5.0) -> None:
        """Take some of the time."""
        self.timeouts.append(timeout)
        if self.error is not None:
            raise self.error
        self.clock.advance(min(timeout, self.takes))


def lines(path: Path) -> list[Any]:
    """Return what a stream reporter has written."""
    return statistics(path.read_text())


def test_reporters_run_until_they_are_stopped(tmp_path: Path) -> None:
    """Each table starts a reporter on the given registry; the handle has them by key and stops them all."""
    registry = tapes.Registry()
    registry.counter("orders").increment(3)
    path = tmp_path / "stats.jsonl"
    config = {
        "reporters": {
            "http": {"port": 0},
            "file": {"type": "stream", "interval": 3600, "path": str(path)},
        },
        "max_tag_sets": 12,
    }

    with configure(config, registry=registry) as configuration:
        http: Any = configuration.reporters["http"]
        with urllib.request.urlopen(http.url) as response:
            served = json.load(response)
        running = [reporter.running for reporter in configuration.reporters.values()]
        registry.counter("orders").increment()

    assert served == {"orders": {"value": 3}}
    assert running == [True, True]
    assert list(configuration.reporters) == ["http", "file"]
    assert configuration.registry is registry
    assert registry.max_tag_sets == 12
    assert lines(path)[-1] == {"orders": {"value": 4}}
    assert [reporter.running for reporter in configuration.reporters.values()] == [False, False]


def test_default_registry() -> None:
    """Without a registry the reporters report on the one that the functions of tapes use."""
    from tapes.registry import DEFAULT_REGISTRY

    with configure({"reporters": {"http": {"port": 0}}}) as configuration:
        found = configuration.registry, configuration.reporters["http"].registry

    assert found == (DEFAULT_REGISTRY, DEFAULT_REGISTRY)


def test_faults_start_nothing(tmp_path: Path) -> None:
    """With one fault anywhere no reporter is started and the registry stays as it is."""
    registry = tapes.Registry()
    path = tmp_path / "stats.jsonl"
    config = {
        "reporters": {"stream": {"interval": 1, "path": str(path)}, "http": {"port": "x"}},
        "max_tag_sets": 12,
    }

    with pytest.raises(ConfigError):
        configure(config, registry=registry)

    assert not path.exists()
    assert registry.max_tag_sets == 2000


def test_failed_start_stops_what_was_started(tmp_path: Path) -> None:
    """If a reporter cannot be started, those before it are stopped and the error names it and has the reason."""
    registry = tapes.Registry()
    path = tmp_path / "stats.jsonl"
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = {
            "reporters": {
                "stream": {"interval": 3600, "path": str(path)},
                "web": {"type": "http", "port": port},
                "never": {"type": "stream", "interval": 3600, "path": str(tmp_path / "never")},
            },
            "max_tag_sets": 12,
        }

        with pytest.raises(ReporterError) as caught:
            configure(config, registry=registry)

    message = str(caught.value)
    assert message.startswith("The configuration: reporters.web (HTTPReporter(")
    assert message.endswith(" The reporters that had been started before it (stream) are stopped.")
    assert isinstance(caught.value.__cause__, OSError)
    assert len(lines(path)) == 2
    assert not (tmp_path / "never").exists()
    assert registry.max_tag_sets == 2000
    assert not [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("tapes-")]


def test_stopping_twice() -> None:
    """Stopping a second time does nothing."""
    configuration = configure({"reporters": {"http": {"port": 0}}}, registry=tapes.Registry())

    configuration.stop()
    configuration.stop()

    assert not configuration.reporters["http"].running


def test_hanging_reporter_leaves_time_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """All reporters share one deadline: one that hangs takes its share, what others do not need is passed on."""
    clock = ManualClock()
    monkeypatch.setattr("tapes.config.configuration.time", clock)
    quick, hanging, last = Recording(clock), Recording(clock, takes=60), Recording(clock)

    Configuration(tapes.Registry(), {"quick": quick, "hanging": hanging, "last": last}).stop(timeout=3)

    assert (quick.timeouts, hanging.timeouts, last.timeouts) == ([1.0], [1.5], [1.5])


def test_reporter_that_cannot_be_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """A reporter whose stop() raises is logged with its key, and the others are stopped all the same."""
    bad, good = Recording(ManualClock(), error=OSError("no")), Recording(ManualClock())

    Configuration(tapes.Registry(), {"bad": bad, "good": good}).stop()

    assert [record.getMessage() for record in caplog.records] == [
        "The reporter 'bad' (Recording()) could not be stopped."
    ]
    assert len(good.timeouts) == 1


def test_reporters_cannot_be_replaced() -> None:
    """The handle's mapping of reporters is read-only."""
    configuration = configure({"reporters": {}}, registry=tapes.Registry())

    with pytest.raises(TypeError):
        configuration.reporters["http"] = Recording(ManualClock())  # type: ignore[index]  # that it cannot be assigned is the point


def test_third_party_reporter_without_a_registry(distributions: Distributions) -> None:
    """A third party's reporter is given the registry only if its constructor takes one."""
    distributions.install(
        "shop-metrics",
        {
            "shop": """
                from tapes.plugins import hookimpl
                from tapes.reporting import Reporter

                class Shop(Reporter):
                    def __init__(self, colour: str = "red"):
                        super().__init__()
                        self.colour = colour
                    def work(self, run):
                        run.stopping.wait()

                class Taking(Shop):
                    def __init__(self, *, registry):
                        Reporter.__init__(self, registry)

                @hookimpl
                def tapes_reporters():
                    return {"shop": "shop:Shop", "taking": "shop:Taking"}
            """
        },
    )

    done = distributions.run("""
        import tapes
        registry = tapes.Registry()
        config = {"reporters": {"shop": {"colour": "blue"}, "taking": {}}}
        with tapes.configure(config, registry=registry) as configuration:
            print(configuration)
            shop, taking = configuration.reporters.values()
            print(shop.colour, shop.running, taking.running, taking.registry is registry)
        print(shop.running, taking.running)
    """)

    assert done.lines == [
        "<Configuration with the reporters shop, taking>",
        "blue True True True",
        "False False",
    ]
