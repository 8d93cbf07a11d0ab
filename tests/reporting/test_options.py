"""Options of every reporter with values that cannot be: each is refused when it is given, and never a riddle."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction
from typing import Any, Dict, List, NamedTuple

import pytest

from tapes.config.checking import check
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.configured import ConfiguredAggregator
from tapes.distributed.registry import DistributedRegistry
from tapes.distributed.reporter import ZmqReporter
from tapes.errors import ConfigError, ReporterOptionError, TapesError
from tapes.reporting.http import HTTPReporter
from tapes.reporting.statsd import StatsdReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.tornado.http import TornadoHTTPReporter
from tapes.reporting.tornado.statsd import TornadoStatsdReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter
from tapes.testing import MemoryReporter


class Rude:
    """Raises whatever it is asked."""

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        raise RuntimeError("rude")

    def __bool__(self) -> bool:
        raise RuntimeError("rude")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("rude")


RUDE = Rude()
LONG = "x" * 100_000
OBJECTS: List[Any] = [RUDE, object(), int, 1j, b"x", {1: 2}, {}, Fraction(1, 2)]
NUMBERS: List[Any] = [-1, math.nan, math.inf, 10**400]
TEXTS: List[Any] = ["", "a\0b", LONG]
DURATIONS: List[Any] = [
    *OBJECTS,
    *NUMBERS,
    *TEXTS,
    "1",
    True,
    0,
    5e-324,
    timedelta(0),
    timedelta(-1),
    None,
]
HOSTS: List[Any] = [*OBJECTS, *NUMBERS, "a\0b", LONG, " ", "a b", "a\nb", "\udcff", True, None, ["x"]]
PORTS: List[Any] = [*OBJECTS, *NUMBERS, *TEXTS, "80", 80.0, True, None, 65536]
PATHS: List[Any] = [*OBJECTS, *NUMBERS, *TEXTS, True, ["x"], 0]
FLAGS: List[Any] = [*OBJECTS, *NUMBERS, *TEXTS, "false", 0, 1, None]
NAMES: List[Any] = [*OBJECTS, *NUMBERS, *TEXTS, True, ["x"], 0, "nothing like it"]
USERS: List[Any] = [*OBJECTS, *NUMBERS, *TEXTS, True, [RUDE]]
LIMITS: List[Any] = [*OBJECTS, *NUMBERS, *TEXTS, True, 0, None, 2.0]
REGISTRIES: List[Any] = [value for value in [*OBJECTS, *NUMBERS, *TEXTS, True, 0] if value is not None]


class Option(NamedTuple):
    """An option, and what it cannot be."""

    cls: Any
    others: Dict[str, Any]
    """What has to be given besides."""
    name: str
    garbage: List[Any]


def scheduled(cls: Any) -> List[Option]:
    """Return what reporters with an interval have in common."""
    return [Option(cls, {}, "interval", DURATIONS), Option(cls, {"interval": 1}, "registry", REGISTRIES)]


def pages(cls: Any) -> List[Option]:
    """Return the options of reporters with a page."""
    return [
        Option(cls, {}, "port", PORTS),
        Option(cls, {"port": 0}, "host", HOSTS),
        Option(cls, {"port": 0}, "format", [*OBJECTS, *NUMBERS, *TEXTS, True, None, "nothing like it"]),
        Option(cls, {"port": 0}, "allowed_hosts", [*OBJECTS, *NUMBERS, *TEXTS, True, None, "name", [""], [7], [RUDE]]),
        Option(cls, {"port": 0}, "registry", REGISTRIES),
    ]


def statsd(cls: Any) -> List[Option]:
    """Return the options of reporters to a StatsD."""
    given = {"interval": 1}
    return [
        *scheduled(cls),
        Option(cls, given, "host", [*HOSTS, ""]),
        Option(cls, given, "port", [*PORTS, 0]),
        Option(cls, given, "prefix", [*OBJECTS, *NUMBERS, *TEXTS, True, "a.", "a b"]),
        Option(cls, given, "protocol", NAMES),
        Option(cls, {**given, "protocol": "unix"}, "path", PATHS),
        Option(cls, given, "tags", NAMES),
        Option(cls, given, "max_packet", [*PORTS, 0]),
    ]


def addressed(cls: Any, others: Dict[str, Any]) -> List[Option]:
    """Return the options of both ends of what goes to an aggregator."""
    addresses = [
        *HOSTS,
        "",
        "ipc://",
        "tcp://",
        "ipc://a\0b",
        "tcp://h:99999",
        "tcp://a b:1",
        "tcp://h:" + "9" * 5000,
        "udp://h:1",
        "ipc://" + LONG,
    ]
    return [
        Option(cls, {**others, "insecure": True}, "socket_addr", addresses),
        Option(cls, {**others, "socket_addr": "tcp://127.0.0.1:5555"}, "keys", PATHS),
        Option(cls, others, "insecure", FLAGS),
    ]


AGGREGATOR: Dict[str, Any] = {"reporter": MemoryReporter(1)}
OPTIONS = [
    *pages(HTTPReporter),
    *pages(TornadoHTTPReporter),
    *statsd(StatsdReporter),
    *statsd(TornadoStatsdReporter),
    *scheduled(ThreadedStreamReporter),
    *scheduled(TornadoStreamReporter),
    *[
        option
        for cls in (ThreadedStreamReporter, TornadoStreamReporter)
        for option in (
            Option(cls, {"interval": 1}, "path", PATHS),
            Option(cls, {"interval": 1}, "stream", [*OBJECTS, *NUMBERS, *TEXTS, True, "x"]),
        )
    ],
    *[Option(cls, {"interval": 1}, "clock", OBJECTS) for cls in (ThreadedStreamReporter, StatsdReporter, ZmqReporter)],
    Option(TornadoHTTPReporter, {"port": 0}, "io_loop", OBJECTS),
    *[Option(cls, {"interval": 1}, "io_loop", OBJECTS) for cls in (TornadoStreamReporter, TornadoStatsdReporter)],
    *scheduled(ZmqReporter),
    *addressed(ZmqReporter, {}),
    Option(ZmqReporter, {}, "trust", USERS),
    *addressed(DistributedRegistry, {}),
    Option(DistributedRegistry, {}, "interval", DURATIONS),
    Option(DistributedRegistry, {}, "trust", USERS),
    Option(RegistryAggregator, {}, "reporter", [*OBJECTS, *NUMBERS, *TEXTS, True, [RUDE], None]),
    *addressed(RegistryAggregator, AGGREGATOR),
    Option(RegistryAggregator, AGGREGATOR, "state_path", PATHS),
    Option(RegistryAggregator, AGGREGATOR, "by_worker", FLAGS),
    Option(RegistryAggregator, AGGREGATOR, "lease", DURATIONS),
    Option(RegistryAggregator, AGGREGATOR, "max_series", LIMITS),
    Option(RegistryAggregator, AGGREGATOR, "max_tag_sets", LIMITS),
    Option(RegistryAggregator, AGGREGATOR, "group", USERS),
    Option(RegistryAggregator, AGGREGATOR, "mode", [*OBJECTS, *NUMBERS, *TEXTS, True, "0660", 0o400]),
]


@pytest.mark.parametrize("option", OPTIONS, ids=[f"{each.cls.__name__}-{each.name}" for each in OPTIONS])
def test_what_an_option_cannot_be(option: Option) -> None:
    """The constructor refuses it, with the name of the option and no more of the value than fits into a line."""
    for value in option.garbage:
        with pytest.raises(TapesError) as caught:
            option.cls(**{**option.others, option.name: value})

        message = str(caught.value)
        assert isinstance(caught.value, (ReporterOptionError, LookupError))
        assert option.name in message
        assert len(message) < 700
        assert "\n" not in message


@pytest.mark.parametrize("cls", [HTTPReporter, TornadoHTTPReporter])
def test_an_empty_host_of_a_page(cls: Any) -> None:
    """It stands for all addresses of the machine, as it does in Python's own servers."""
    assert cls(8889, host="").url == "http://0.0.0.0:8889/"


@pytest.mark.parametrize("interval", [timedelta.resolution, 1e-6, 1])
def test_the_shortest_interval(interval: Any) -> None:
    """Whatever a timedelta can be above zero is one."""
    assert MemoryReporter(interval).interval in (1e-6, 1.0)


@pytest.mark.parametrize("cls", [StatsdReporter, TornadoStatsdReporter])
def test_the_longest_prefix(cls: Any) -> None:
    """A prefix is refused where no metric at all would fit into a packet besides."""
    cls(1, prefix="x" * 52, max_packet=64)

    with pytest.raises(ReporterOptionError, match="prefix is short enough to leave room for a metric in a packet"):
        cls(1, prefix="x" * 53, max_packet=64)


def is_said_in_toml(value: Any) -> bool:
    """Whether a config can have the value."""
    if isinstance(value, list):
        return all(map(is_said_in_toml, value))
    return isinstance(value, (str, int, float))


CONFIGURED = {
    "http": HTTPReporter,
    "tornado-http": TornadoHTTPReporter,
    "statsd": StatsdReporter,
    "tornado-statsd": TornadoStatsdReporter,
    "stream": ThreadedStreamReporter,
    "tornado-stream": TornadoStreamReporter,
    "zmq": ZmqReporter,
    "aggregator": RegistryAggregator,
}


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        pytest.param(kind, option, id=f"{kind}-{option.name}")
        for kind, cls in CONFIGURED.items()
        for option in OPTIONS
        if option.cls is cls and option.name != "reporter"  # which is not an option there, but a table
    ],
)
def test_what_an_option_in_a_config_cannot_be(kind: str, option: Option) -> None:
    """A check lists it with its place in the file, and starts nothing."""
    for value in filter(is_said_in_toml, option.garbage):
        given = {name: other for name, other in option.others.items() if name != "reporter"}
        given[option.name] = value
        is_aggregator = kind == "aggregator"
        reporters: Any = {"http": {"port": 0}} if is_aggregator else {kind: given}
        config = {"aggregator": given, "reporters": reporters} if is_aggregator else {"reporters": reporters}
        checks: Any = ConfiguredAggregator if is_aggregator else check
        with pytest.raises(ConfigError) as caught:
            checks(config)

        (fault,) = caught.value.faults
        assert fault.startswith("aggregator" if is_aggregator else f"reporters.{kind}")
        assert option.name in fault
        assert len(fault) < 800
