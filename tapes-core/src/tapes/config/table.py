"""What stands behind the table `[aggregator]` of a config: Protocols for another distribution, and their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, NamedTuple, Optional, Protocol, Tuple

if TYPE_CHECKING:
    from tapes.registry import Registry
    from tapes.reporting import Reporter


class CheckedReporter(NamedTuple):
    """A reporter of a configuration: made, but not started."""

    key: str
    type: str
    """The name by which it was looked up."""
    options: Mapping[str, object]
    """The options as given in the configuration."""
    reporter: Reporter


class Details(NamedTuple):
    """What a config with an aggregator comes to on this host, for this user."""

    settings: Mapping[str, object]
    """The options of the table that hold, also those that it does not give, by their keys."""
    reporters: Tuple[CheckedReporter, ...]
    """The reporters of the aggregator."""
    obstacles: Tuple[str, ...]
    """What keeps the aggregator or a reporter from its work now, each with its key and the remedy."""


class Problem(NamedTuple):
    """Something that is wrong."""

    what: str
    """What is wrong, in one sentence."""
    remedy: str
    """What to do about it, in one or more sentences."""


class ReporterStatus(NamedTuple):
    """A reporter of an aggregator that runs."""

    key: str
    what: str
    """The reporter in words, as in `HTTPReporter(127.0.0.1:8889)`."""
    state: str
    """`reports`, `fails` (the last report has failed) or `not started`."""
    reports: int
    failures: int
    last_error: Optional[str]
    """The error of the most recent failed report, or of the start; None if none has failed."""


class Figures(NamedTuple):
    """What an aggregator says of itself."""

    workers: int
    """Processes that publish to it, and have recorded something."""
    lag: float
    """Seconds: the age of the states of the slowest worker when they were merged."""
    staleness: float
    """Seconds since everything that a worker had recorded was last known, where that is longest."""
    series: int
    losses: Mapping[str, int]
    """What was not taken in as it came, since the start of the aggregator, by the names of its counters."""
    reporters: Tuple[ReporterStatus, ...]


class Status(NamedTuple):
    """What is there for an aggregator."""

    config: str
    """The configuration, by its name in messages."""
    address: str
    state: str
    """`runs`, `hangs`, `not running` or `unknown`."""
    pid: Optional[int]
    """The process of the aggregator, if it is known."""
    age: Optional[float]
    """Seconds since the start of the aggregator, if it has said so."""
    version: Optional[str]
    """The version of its tapes, if it has said so."""
    figures: Optional[Figures]
    """What it says of itself; None if it does not answer."""
    log: str
    """The path of its log, which is there while it runs, and after that if there was anything to warn of."""
    log_lines: Tuple[str, ...]
    """The last warnings and errors in its log."""
    problems: Tuple[Problem, ...]

    def as_json(self) -> Dict[str, Any]:
        """Return it as `json.dumps` takes it."""
        figures = self.figures
        said: Dict[str, Any] = {}
        if figures is not None:
            said = {**figures._asdict(), "reporters": [each._asdict() for each in figures.reporters]}
            said["losses"] = dict(figures.losses)
        return {
            **self._asdict(),
            "figures": said or None,
            "log_lines": list(self.log_lines),
            "problems": [each._asdict() for each in self.problems],
        }


class Onlooker(Protocol):
    """Looks at an aggregator without being a worker: it starts, steals and removes nothing."""

    def status(self) -> Status:
        """Return what is there. Raises nothing because of it."""
        ...

    def get_stats(self) -> Dict[str, Any]:
        """Return the statistics of all processes, as a tree. Raises ReporterError if no aggregator can be reached."""
        ...


class AggregatorTable(Protocol):
    """The table `[aggregator]` of one config, with which it is made. It starts nothing.

    To make one raises ConfigError, with all faults of the config: what is wrong in itself, whatever this host has.
    """

    def member(self, registry: Registry) -> Reporter:
        """Return the reporter that publishes `registry` from this process to the aggregator."""
        ...

    def details(self) -> Details:
        """Return what the config comes to here."""
        ...

    def onlooker(self, timeout: float) -> Onlooker:
        """Return who looks at the aggregator, and waits for each of its answers at most `timeout` seconds."""
        ...
