"""Checking a configuration: every fault at once, with its key and what is accepted, before anything is started."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any, Dict, List, Mapping

import pytest

import tapes
from tapes.config import configure
from tapes.config.checking import check
from tapes.errors import ConfigError
from tapes.reporting.listening import listen, overlap

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.distributions import Distributions

ODD = """
from __future__ import annotations
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Optional
from tapes.plugins import hookimpl
from tapes.reporting import Reporter
if TYPE_CHECKING:
    from nowhere import Unknown

@hookimpl
def tapes_reporters():
    names = ("Typed", "Open", "Positional", "Silent", "Hooked", "Blocked", "Raising")
    return {name: f"odd:{name}" for name in names}

class Quiet(Reporter):
    def work(self, run):
        run.stopping.wait()

class Typed(Quiet):
    def __init__(
        self,
        size: int,
        every: timedelta = timedelta(1),
        pause: timedelta | float = 1,
        flag: bool = False,
        level: Literal["low", "high", 3] = "low",
        hosts: list[str] | None = None,
        pair: tuple[int, str] | None = None,
        many: tuple[str, ...] = (),
        labels: dict[str, str] | None = None,
        place: str | os.PathLike[str] | None = None,
        unknown: Unknown | None = None,
        untyped=None,
        registry=None,
    ):
        super().__init__(registry)
        self.given = dict(locals(), self=None, registry=None)
        if size > 100:
            raise RuntimeError("size\\nis at most 100")

class Open(Quiet):
    def __init__(self, registry, port: int, **others):
        super().__init__(registry)
        self.given = (port, others)

class Positional(Quiet):
    def __init__(self, first, second: int = 2, /, *rest, third: str = "3"):
        super().__init__()
        self.given = (first, second, rest, third)

class Silent(Quiet):
    def __init__(self):
        super().__init__()

class Hooked(Quiet):
    __signature__ = 5
    def __init__(self, *given, **options):
        super().__init__()
        self.given = (given, options)

class Blocked(Quiet):
    def __init__(self):
        super().__init__()
    def obstacles(self, earlier):
        return [f"one is enough after {list(earlier)}"] if earlier else []

class Raising(Quiet):
    def __init__(self):
        super().__init__()
    def obstacles(self, earlier):
        raise KeyError("x")
"""


@pytest.fixture
def odd(distributions: Distributions) -> Distributions:
    """Return distributions with a third party's reporters, whose constructors are of all sorts."""
    distributions.install("odd-metrics", {"odd": ODD})
    return distributions


def faults(config: Mapping[str, object]) -> tuple[str, ...]:
    """Return what is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        check(config)
    return caught.value.faults


def test_ten_faults_are_one_error(odd: Distributions) -> None:
    """All faults of a configuration are listed in one error, and nothing has been started or changed."""
    done = odd.run("""
        import threading
        import tapes
        try:
            tapes.configure({
                "reporter": {},
                "max_tag_sets": "many",
                "plugins": {"block": "odd", "blocked": []},
                "reporters": {
                    "http": {"port": "8889"},
                    "stream": {"intervall": 10},
                    "statsd": {"port": 1},
                    "second": {"type": 2},
                    "third": 3,
                    "fourth": {"type": "nothing"},
                    "Typed": {"size": 101},
                    "again": {"type": "Silent"},
                },
            })
        except tapes.errors.ConfigError as error:
            print(error)
            print(len(error.faults), threading.active_count(), tapes.Registry().max_tag_sets)
    """)

    assert done.output == (
        "The configuration has 12 faults, nothing was started:\n"
        "  - reporter: unknown key, did you mean 'reporters'?; known are reporters (a table of tables), "
        "aggregator (a table), plugins (a table), max_tag_sets (a positive integer), sigterm (true or false)\n"
        "  - plugins.blocked: unknown key, did you mean 'block'?; known is block (a list of strings)\n"
        "  - plugins.block: 'odd' (str) is not a list of strings, the names of plugins\n"
        "  - max_tag_sets: 'many' (str) is not a positive integer\n"
        "  - reporters.http.port: '8889' (str) is not an integer\n"
        "  - reporters.stream.intervall: unknown option, did you mean 'interval'?; "
        "ThreadedStreamReporter takes interval, stream, path\n"
        "  - reporters.stream.interval: missing, ThreadedStreamReporter needs a number of seconds\n"
        "  - reporters.statsd: There is no reporter 'statsd'. It comes with pip install tapes-statsd. "
        "Installed: Blocked, Hooked, Open, Positional, Raising, Silent, Typed, http, stream.\n"
        "  - reporters.second.type: 2 (int) is not a string, the name of a reporter\n"
        "  - reporters.third: 3 (int) is not a table of options\n"
        "  - reporters.fourth.type: There is no reporter 'nothing'. "
        "Installed: Blocked, Hooked, Open, Positional, Raising, Silent, Typed, http, stream.\n"
        "  - reporters.Typed: Typed refuses its options: RuntimeError: size is at most 100\n"
        "12 1 2000\n"
    )


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"size": True}, "size: True (bool) is not an integer"),
        ({"size": 1.5}, "size: 1.5 (float) is not an integer"),
        ({"size": None}, "size: None (NoneType) is not an integer"),
        ({"size": 1, "every": "1m"}, "every: '1m' (str) is not a number of seconds"),
        ({"size": 1, "every": True}, "every: True (bool) is not a number of seconds"),
        ({"size": 1, "every": float("inf")}, "every: inf (float) is not a number of seconds"),
        ({"size": 1, "flag": 1}, "flag: 1 (int) is not true or false"),
        ({"size": 1, "level": "medium"}, "level: 'medium' (str) is not one of 'low', 'high', 3"),
        ({"size": 1, "level": 3.0}, "level: 3.0 (float) is not one of 'low', 'high', 3"),
        ({"size": 1, "hosts": "one"}, "hosts: 'one' (str) is not a list, each item a string"),
        ({"size": 1, "hosts": ["one", 2]}, "hosts: ['one', 2] (list) is not a list, each item a string"),
        ({"size": 1, "pair": [1]}, "pair: [1] (list) is not a list of 2 (an integer, a string)"),
        ({"size": 1, "labels": {"a": 1}}, "labels: {'a': 1} (dict) is not a table, each value a string"),
        ({"size": 1, "place": 5}, "place: 5 (int) is not a string or a path"),
        (
            {"size": 1, "registry": 5},
            "registry: this cannot be set in a config, it is the one that configure() is given",
        ),
    ],
)
def test_mistyped_option(odd: Distributions, options: Mapping[str, object], fault: str) -> None:
    """A value that does not fit the constructor's annotation is a fault that names the key, the value and what fits."""
    done = odd.run(f"""
        from math import inf
        from tapes.config.checking import check
        try:
            check({{"reporters": {{"Typed": {options!r}}}}})
        except ValueError as error:
            print(*error.faults, sep="\\n")
    """)

    assert done.lines == [f"reporters.Typed.{fault}"]


def test_options_fit_annotations(odd: Distributions) -> None:
    """Seconds become a timedelta and lists tuples where nothing else will do; what cannot be checked is passed on."""
    done = odd.run("""
        import pathlib
        from tapes.config.checking import check
        options = dict(size=1, every=1.5, pause=10, flag=True, level=3, hosts=["a"], pair=[1, "b"], many=["c"],
                       labels={"d": "e"}, place="f", unknown=object, untyped={4: 5})
        given = check({"reporters": {"Typed": options}}).reporters[0].reporter.given
        print({key: given[key] for key in options})
        options = {"size": 1, "place": pathlib.Path("g"), "hosts": None}
        print(check({"reporters": {"Typed": options}}).reporters[0].reporter.given["place"])
    """)

    assert done.lines == [
        (
            "{'size': 1, 'every': datetime.timedelta(seconds=1, microseconds=500000), 'pause': 10, 'flag': True, "
            "'level': 3, 'hosts': ['a'], 'pair': (1, 'b'), 'many': ('c',), 'labels': {'d': 'e'}, 'place': 'f', "
            "'unknown': <class 'object'>, 'untyped': {4: 5}}"
        ),
        "g",
    ]


def test_constructors_of_all_sorts(odd: Distributions) -> None:
    """That of a third party may need a registry, take anything, take arguments by position only, or not say what."""
    done = odd.run("""
        from tapes.config.checking import check
        checked = check({"reporters": {
            "Open": {"port": 1, "other": "x"},
            "Positional": {"first": 1, "third": "c"},
            "Silent": {},
            "Hooked": {"anything": 1},
        }})
        print([getattr(each.reporter, "given", None) for each in checked.reporters])
        for wrong in {"Open": {"port": "1"}}, {"Positional": {}}, {"Silent": {"a": 1}}:
            try:
                check({"reporters": wrong})
            except ValueError as error:
                print(*error.faults)
    """)

    assert done.lines == [
        "[(1, {'other': 'x'}), (1, 2, (), 'c'), None, ((), {'anything': 1})]",
        "reporters.Open.port: '1' (str) is not an integer",
        "reporters.Positional.first: missing, Positional needs any value",
        "reporters.Silent.a: unknown option; Silent takes none",
    ]


def test_objects_are_options_of_a_mapping() -> None:
    """In a mapping an option may be an object: a stream, a path, a timedelta."""
    from datetime import timedelta

    stream = io.StringIO()

    checked = check({"reporters": {"stream": {"interval": timedelta(minutes=1), "stream": stream}}})

    assert checked.reporters[0].options == {"interval": timedelta(minutes=1), "stream": stream}
    assert faults({"reporters": {"stream": {"interval": 1, "stream": "stdout"}}}) == (
        "reporters.stream.stream: 'stdout' (str) is not an object with write()",
    )


def test_value_that_the_constructor_refuses() -> None:
    """What only the constructor can know is a fault like the others, in its words."""
    found = faults({"reporters": {"stream": {"interval": -1}, "http": {"port": 70000}}})

    assert [fault.partition(": ")[0] for fault in found] == ["reporters.stream", "reporters.http"]
    assert found[0].startswith("reporters.stream: ThreadedStreamReporter refuses its options: interval ")
    assert found[1].startswith("reporters.http: HTTPReporter refuses its options: port ")


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, "reporters: missing; leave the table empty to start none on purpose"),
        ({"max_tag_sets": 5}, "reporters: missing; leave the table empty to start none on purpose"),
        ({"reporters": ["http"]}, "reporters: ['http'] (list) is not a table of tables, one for each reporter"),
        ({"reporters": {5: {}}}, "reporters.5: the name of a reporter is a string, not 5 (int)"),
        ({"reporters": {}, "max_tag_sets": 0}, "max_tag_sets: 0 (int) is not a positive integer"),
        ({"reporters": {}, "max_tag_sets": True}, "max_tag_sets: True (bool) is not a positive integer"),
        ({"reporters": {}, "sigterm": "no"}, "sigterm: 'no' (str) is not true or false"),
        ({"reporters": {}, "plugins": []}, "plugins: [] (list) is not a table"),
        (
            {"reporters": {}, "aggregator": {"start": "soon"}},
            (
                "aggregator.start: 'soon' (str) is neither 'auto' (whichever process comes first starts the "
                "aggregator) nor 'never' (somebody else does)"
            ),
        ),
        (
            {"reporters": {}, "plugins": {"block": ["a", 1]}},
            "plugins.block: ['a', 1] (list) is not a list of strings, the names of plugins",
        ),
        (
            {"reporters": {"x": {"type": "http", "port": 0, "clock": 1}}},
            "reporters.x.clock: unknown option; HTTPReporter takes port, host, format, allowed_hosts",
        ),
        (
            {"reporters": {"stream": {"interval": 1, "clock": 1}}},
            "reporters.stream.clock: this cannot be set in a config, it can only be given in code",
        ),
    ],
)
def test_fault_of_the_tables(config: Mapping[str, object], found: str) -> None:
    """Tables that are missing, or are something else, are faults with their key."""
    assert faults(config) == (found,)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"type": "http"}, {"type": "http"}),
        ({"type": "http"}, {"type": "tornado-http"}),
        ({"type": "tornado-http"}, {"type": "http", "host": "0.0.0.0"}),
        ({"type": "http", "host": "0.0.0.0"}, {"type": "http"}),
        ({"type": "http", "host": "::1"}, {"type": "http", "host": "0:0::1"}),
        ({"type": "http", "host": "::1"}, {"type": "http", "host": "::"}),
    ],
)
def test_two_at_one_port(first: Dict[str, object], second: Dict[str, object]) -> None:
    """A reporter that cannot listen where it is to, because one before it does, is a fault that names both."""
    config = {"reporters": {"a": {**first, "port": 8889}, "b": {**second, "port": 8889}}}

    (fault,) = faults(config)

    assert fault.startswith("reporters.b: it cannot listen on ")
    assert fault.endswith(":8889, where reporters.a listens: choose another port")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1", "0.0.0.0"),
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "::"),
        ("127.0.0.1", "::1"),
        ("0.0.0.0", "::"),
        ("0.0.0.0", "::1"),
        ("::", "::1"),
    ],
)
def test_what_is_said_of_two_is_so(first: str, second: str) -> None:
    """Both cannot listen at a port where that is said, and can where it is not, whichever comes first."""

    def can_both(one: str, other: str) -> bool:
        # A different program may have the port of one attempt.
        return any(have_listened(one, other) for _ in range(3))

    def have_listened(one: str, other: str) -> bool:
        with listen(one, 0, "one") as listener:
            try:
                listen(other, listener.getsockname()[1], "other").close()
            except OSError as error:
                return error.errno != errno.EADDRINUSE
            return True

    try:
        found = [not can_both(first, second), not can_both(second, first)]
    except OSError:
        pytest.skip("One of the addresses is not there.")

    assert found == [overlap(first, second), overlap(second, first)]


def test_two_at_ports_of_their_own() -> None:
    """Other ports, other addresses, and any port that is free, are not in one another's way."""
    one = {"type": "http", "port": 8889}
    others: List[Dict[str, object]] = [
        {"port": 0},
        {"port": 0},
        {"port": 8890},
        {"host": "127.0.0.2"},
        {"host": "::1"},
    ]
    reporters = {str(number): {**one, **other} for number, other in enumerate([{}, *others])}

    assert len(check({"reporters": reporters}).reporters) == 6


@pytest.mark.parametrize("kind", ["stream", "tornado-stream"])
def test_file_that_has_no_place(tmp_path: Path, kind: str) -> None:
    """A file in a folder that is not there, or that is a folder, is a fault, and nothing is made of either."""
    missing = tmp_path / "missing"
    config: Dict[str, Any] = {"reporters": {"a": {"type": kind, "interval": 1, "path": str(missing / "file")}}}

    assert faults(config) == (
        f"reporters.a: it cannot write to '{missing}/file': there is no folder '{missing}', so make it",
    )
    config["reporters"]["a"]["path"] = str(tmp_path)
    assert faults(config) == (f"reporters.a: it cannot write to '{tmp_path}', which is a folder: name a file in it",)
    assert list(tmp_path.iterdir()) == []


def test_obstacles_that_cannot_be_told(odd: Distributions) -> None:
    """A reporter of a third party tells its own obstacles, and one that raises is a fault like the others."""
    done = odd.run("""
        from tapes.config.checking import check
        try:
            check({"reporters": {"Blocked": {}, "again": {"type": "Blocked"}, "Raising": {}}})
        except ValueError as error:
            print(*error.faults, sep="\\n")
    """)

    assert done.lines == [
        "reporters.again: one is enough after ['reporters.Blocked']",
        "reporters.Raising: Raising.obstacles() raised KeyError: 'x'",
    ]


def test_no_reporters_on_purpose() -> None:
    """An empty table of reporters is right: nothing is started, and the rest of the configuration counts."""
    registry = tapes.Registry()

    with configure({"reporters": {}, "max_tag_sets": 7}, registry=registry) as configuration:
        assert dict(configuration.reporters) == {}

    assert registry.max_tag_sets == 7


def test_sample_stays_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample, which says everything that a configuration can say, is accepted by every version."""
    from pathlib import Path

    sample = Path(__file__).with_name("sample.toml").resolve()
    monkeypatch.chdir(tmp_path)

    checked = check(sample)

    assert (checked.max_tag_sets, checked.blocked) == (500, ("left-out",))
    assert [(each.key, each.type, each.options) for each in checked.reporters] == [
        ("http", "http", {"port": 0, "host": "127.0.0.1", "format": "json"}),
        ("stream", "stream", {"interval": 60, "path": "metrics.jsonl"}),
        ("second-stream", "stream", {"interval": 0.5, "path": "second.jsonl"}),
    ]
    assert list(tmp_path.iterdir()) == []


def test_blocked_plugin_in_a_configuration(odd: Distributions) -> None:
    """A plugin that the configuration blocks is not imported, and its reporters are unknown."""
    done = odd.run("""
        import sys
        from tapes.config.checking import check
        try:
            check({"reporters": {"Silent": {}}, "plugins": {"block": ["odd"]}})
        except ValueError as error:
            print(*error.faults)
        print("odd" in sys.modules)
    """)

    assert done.lines == [
        (
            "reporters.Silent: There is no reporter 'Silent'. Installed: http, stream. "
            "Plugins that are left out: 'odd' of odd-metrics 1.0 (blocked)."
        ),
        "False",
    ]
