"""The text of `python -m tapes status`."""

from __future__ import annotations

import json

from tapes.commands.status import rendered
from tapes.config.table import Figures, Problem, ReporterStatus, Status

FIGURES = Figures(
    workers=4,
    lag=0.0123,
    staleness=1.04,
    series=120,
    losses={"bad_frames": 0, "gaps": 2, "left_out": 0, "overflowed": 0, "refused": 1},
    reporters=(
        ReporterStatus("http", "HTTPReporter(127.0.0.1:8889)", "reports", 12, 0, None),
        ReporterStatus("statsd", "StatsdReporter(localhost:8125)", "fails", 3, 9, "Connection refused"),
    ),
)

WELL = Status("tapes.toml", "ipc:///tmp/a", "runs", 77, 3725.0, "1.2", FIGURES, "/tmp/a.log", (), ())


def test_an_aggregator_that_runs() -> None:
    """With what it says of itself, and its reporters."""
    assert rendered(WELL).split("\n") == [
        "tapes.toml: an aggregator runs, and all is well.",
        "  address     ipc:///tmp/a",
        "  aggregator  process 77, tapes 1.2, for 1 h 2 min",
        "  workers     4",
        "  lag         0.01 s, and nothing is older than 1.0 s",
        "  series      120",
        "  losses      gaps 2, refused 1",
        "",
        "REPORTER  STATE    REPORTS  FAILURES  WHAT",
        "http      reports  12       0         HTTPReporter(127.0.0.1:8889)",
        "statsd    fails    3        9         StatsdReporter(localhost:8125)",
    ]


def test_what_is_wrong() -> None:
    """Each with its remedy, then the log; and nothing of it steers the terminal."""
    status = Status(
        *("tapes.toml", "ipc:///tmp/a", "not running", None, None, None, None, "/tmp/a.log"),
        log_lines=("2026-01-01 00:00:00,000 WARNING x: It \x1b[2J failed.",),
        problems=(Problem("No aggregator runs.", "Start it."), Problem("It rains.", "Wait.")),
    )

    assert rendered(status).split("\n") == [
        "tapes.toml: no aggregator runs.",
        "  address  ipc:///tmp/a",
        "",
        "What is wrong:",
        "- No aggregator runs.",
        "  Start it.",
        "- It rains.",
        "  Wait.",
        "",
        "The last warnings in /tmp/a.log:",
        "  2026-01-01 00:00:00,000 WARNING x: It ?[2J failed.",
    ]


def test_the_same_as_json() -> None:
    """Everything is there, as plain values."""
    read = json.loads(json.dumps(WELL.as_json()))

    assert read["state"] == "runs"
    assert read["figures"]["losses"]["gaps"] == 2
    assert read["figures"]["reporters"][1] == {
        "key": "statsd",
        "what": "StatsdReporter(localhost:8125)",
        "state": "fails",
        "reports": 3,
        "failures": 9,
        "last_error": "Connection refused",
    }
    assert read["problems"] == []
