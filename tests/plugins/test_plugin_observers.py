"""Hooks that are told of something: each in isolation, and of every metric exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugins.distributions import Distributions

LOAD = "from tapes import plugins; plugins.installed(); "

WATCHER = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_metric_created(registry, metric):
    print(__name__, metric.name, dict(metric.tags))
"""


def test_every_metric_is_announced_once(distributions: Distributions) -> None:
    """Metrics of all registries that exist when plugins are loaded are announced then, and later ones when made."""
    distributions.install("watch-metrics", {"watcher": WATCHER})

    done = distributions.run("""
        import tapes
        registry = tapes.Registry()
        tapes.counter("early"), tapes.counter("early", {"shop": "eu"}), registry.timer("elsewhere")
        from tapes import plugins
        plugins.installed()
        print("loaded")
        tapes.counter("early"), tapes.counter("late"), tapes.counter("late"), tapes.Registry().meter("new")
        plugins.reporter_class("stream")
    """)

    loaded = done.lines.index("loaded")
    assert sorted(done.lines[:loaded]) == [
        "watcher early {'shop': 'eu'}",
        "watcher early {}",
        "watcher elsewhere {}",
    ]
    assert done.lines[loaded + 1 :] == ["watcher late {}", "watcher new {}"]


def test_metrics_made_while_plugins_are_loaded_are_announced_once(distributions: Distributions) -> None:
    """Threads that make metrics while plugins are loaded see each of them announced, and none twice."""
    counting = """
        from tapes.plugins import hookimpl
        seen = []

        @hookimpl
        def tapes_metric_created(metric):
            seen.append(metric.name)
    """
    distributions.install("watch-metrics", {"watcher": counting})

    done = distributions.run("""
        import sys, threading
        sys.setswitchinterval(1e-6)
        import tapes
        from tapes import plugins
        go, names = threading.Event(), []
        def make(thread):
            for number in range(1500):
                tapes.counter(f"made.{thread}.{number}")
                if number == 200:
                    go.set()
        threads = [threading.Thread(target=make, args=(number,)) for number in range(3)]
        [thread.start() for thread in threads]
        go.wait()
        plugins.installed()
        [thread.join() for thread in threads]
        import watcher
        print(len(watcher.seen), len(set(watcher.seen)))
    """)

    assert done.lines == ["4500 4500"]


def test_metric_met_on_both_ways_is_announced_once(distributions: Distributions) -> None:
    """A thread that has made a metric, but not announced it when plugins are loaded, does not announce it again."""
    distributions.install("watch-metrics", {"watcher": WATCHER})

    done = distributions.run("""
        import tapes
        from tapes import observers, plugins
        class Late(list):
            def __iter__(self):
                plugins.installed()
                return super().__iter__()
        observers.metric_created = Late()
        tapes.counter("made")
    """)

    assert done.lines == ["watcher made {}"]


def test_raising_observer_harms_nobody(distributions: Distributions) -> None:
    """An observer that raises is logged once per streak with its distribution, and the others are told all the same."""
    bad = WATCHER.replace("print(", "if not metric.name.startswith('fine'): raise SystemExit('no'\n)\n    (")
    distributions.install("a-metrics", {"bad": bad})
    distributions.install("b-metrics", {"watcher": WATCHER})

    done = distributions.run(
        LOAD + "import tapes; [tapes.counter(name) for name in ('a', 'b', 'fine', 'c')]; print('end')"
    )

    hook = "The hook tapes_metric_created of the plugin 'bad' of a-metrics 1.0"
    warning = f"WARNING tapes.plugins: {hook} raised SystemExit: no; nothing else is affected by it."
    assert done.lines == [
        warning,
        "watcher a {}",
        "watcher b {}",
        "watcher fine {}",
        warning,
        "watcher c {}",
        "end",
    ]


def test_observer_that_makes_metrics_is_not_told_of_them(distributions: Distributions) -> None:
    """An observer may make metrics while it is being told: the others hear of them, and it is not called again."""
    making = WATCHER + "    registry.counter(metric.name + '.seen').increment()\n"
    distributions.install("a-metrics", {"maker": making})
    distributions.install("b-metrics", {"watcher": WATCHER})

    done = distributions.run(LOAD + "import tapes; tapes.meter('a')")

    assert done.lines == ["maker a {}", "watcher a.seen {}", "watcher a {}"]


def test_two_observers_that_make_metrics_come_to_an_end(distributions: Distributions) -> None:
    """Observers that make metrics about the metrics of each other stop doing so."""
    making = WATCHER + "    registry.counter(metric.name + '.' + __name__)\n"
    distributions.install("a-metrics", {"one": making})
    distributions.install("b-metrics", {"two": making})

    done = distributions.run(LOAD + "import tapes; tapes.meter('a')")

    assert done.lines == ["one a {}", "two a.one {}", "two a {}", "one a.two {}"]


def test_failed_reports_are_announced(distributions: Distributions) -> None:
    """A report that raises is announced with the reporter, the error and the length of the streak."""
    watcher = """
        from tapes.plugins import hookimpl

        @hookimpl
        def tapes_report_failed(streak, reporter, error):
            print(type(reporter).__name__, repr(error), streak)
    """
    distributions.install("watch-metrics", {"watcher": watcher})

    done = distributions.run(
        LOAD
        + """
from tapes.reporting import ScheduledReporter
class Failing(ScheduledReporter):
    def report(self):
        raise ValueError(self.failures)
with Failing(3600):
    pass
"""
    )

    told = [line for line in done.lines if line.startswith("Failing ValueError")]
    assert told == ["Failing ValueError(0) 1", "Failing ValueError(1) 2"]


def test_observers_go_on_in_a_forked_child(distributions: Distributions) -> None:
    """A forked child tells its observers of new metrics, and of none that the parent has announced."""
    distributions.install("watch-metrics", {"watcher": WATCHER})

    done = distributions.run("""
        import os, sys
        import tapes
        tapes.counter("before")
        from tapes import plugins
        plugins.installed()
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            plugins.installed()
            tapes.counter("before"), tapes.counter("after")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    """)

    assert done.lines == ["watcher before {}", "watcher after {}"]
