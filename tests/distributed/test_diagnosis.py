"""What `python -m tapes status` says is wrong, from what can be seen."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from tapes.config.table import ReporterStatus
from tapes.distributed.diagnosis import Evidence, of_reporters, problems

NOTHING = Evidence("/srv/tapes.toml", "ipc:///tmp/a", "/tmp/a", user="shop", log="/tmp/a.log")
RUNS = NOTHING._replace(held=True, pid=77)
SAID: Dict[str, Any] = {
    "pid": 77,
    "resident": True,
    "losses": {"bad_frames": 0, "gaps": 3, "left_out": 0, "overflowed": 0, "refused": 0},
    "last_bad_frame": None,
    "since_bad_frame": None,
    "staleness": 1.0,
    "lease": 10.0,
    "config_fault": None,
    "needs_restart": [],
}
STARTS = (
    "The first process that records something after tapes.configure() starts one: send the application a request, or "
    "run the script. If that was done, look for warnings of the logger tapes.reporting in its log."
)


def told(evidence: Evidence, said: Optional[Dict[str, Any]] = None) -> List[str]:
    """Return what is wrong, each followed by its remedy."""
    return [text for problem in problems(evidence, said) for text in problem]


def test_all_is_well() -> None:
    """Gaps are mended by themselves, and bad frames and warnings of long ago are over."""
    losses = {**SAID["losses"], "bad_frames": 3}
    long_ago = {**SAID, "losses": losses, "last_bad_frame": "It is bad.", "since_bad_frame": 5000.0}

    assert told(RUNS, SAID) == []
    assert told(RUNS._replace(log_lines=("2020 WARNING",), log_age=5000.0), long_ago) == []


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (
            {},
            [
                (
                    "No aggregator runs for /srv/tapes.toml. Either no process of the user shop has recorded anything "
                    "yet, or all have ended more than 10 s ago."
                ),
                STARTS,
            ],
        ),
        (
            {"starts": False},
            [
                "No aggregator runs for /srv/tapes.toml, and its start = 'never' leaves that to somebody else.",
                "Start it: python -m tapes.distributed --config /srv/tapes.toml",
            ],
        ),
        (
            {"left_over": ("/tmp/a", "/tmp/a.lock"), "pid": 77},
            [
                (
                    "No aggregator runs. The last one (process 77) was killed, or left workers behind: /tmp/a, "
                    "/tmp/a.lock are still there."
                ),
                (
                    f"A worker that goes on starts another one within seconds. {STARTS} It takes "
                    "over what is there. Leave these files there."
                ),
            ],
        ),
        (
            {"held": True, "pid": 77, "process_state": "T", "fault": "it does not answer"},
            ["The aggregator (process 77) is suspended, and takes nothing in.", "Let it go on: kill -CONT 77"],
        ),
        (
            {"held": True, "pid": 77, "process_state": "S", "fault": "it does not answer"},
            [
                "The aggregator (process 77) holds the address, and does not answer: it does not answer.",
                (
                    "If it has just begun, look again in a few seconds. Otherwise end it: kill -9 77. A worker then "
                    "starts another one, which goes on with its totals."
                ),
            ],
        ),
        (
            {"held": True, "pid": 77, "is_other": True, "fault": "it answers with 404 Not Found"},
            [
                "The aggregator (process 77) is of another version of tapes-zmq: it answers with 404 Not Found.",
                "Use one version: restart the application, or look with the Python that it runs with.",
            ],
        ),
        (
            {"held": True, "pid": 77, "leaving": True},
            ["The aggregator (process 77) is ending.", "Look again in a few seconds."],
        ),
        (
            {"barred": "its socket belongs to the user www", "owner": "www"},
            [
                "The user shop may not connect to the aggregator at ipc:///tmp/a: its socket belongs to the user www.",
                (
                    "Look as the user that it runs as: sudo -u www python -m tapes status /srv/tapes.toml. Processes "
                    "of several users share an aggregator by group in [aggregator]."
                ),
            ],
        ),
        (
            {"path": None, "address": "tcp://10.0.0.1:5550", "fault": "Connection refused"},
            [
                "Nobody listens at tcp://10.0.0.1:5550: Connection refused.",
                "Start the aggregator there: python -m tapes.distributed --config /srv/tapes.toml",
            ],
        ),
        (
            {"held": True, "leaving": True, "waiting": 3, "waited": 7.4, "log_lines": ("2020 WARNING",)},
            [
                "An aggregator is ending.",
                "Look again in a few seconds.",
                "The last 3 reports of ended workers are in files beside the socket, the oldest for 7 s.",
                "Nothing is lost: the next aggregator takes them in. Leave the files there.",
                "The log of the aggregator has warnings: /tmp/a.log",
                "See the last of them below.",
            ],
        ),
        (
            {"held": True, "leaving": True, "others": ("www",), "disabled": True},
            [
                "An aggregator is ending.",
                "Look again in a few seconds.",
                "There is an aggregator for the same file of another user: www.",
                "Look as that user: sudo -u www python -m tapes status /srv/tapes.toml",
                "TAPES_DISABLED is set in this environment: processes that have it too publish nothing.",
                "Unset it where the application is started.",
            ],
        ),
    ],
)
def test_no_aggregator_answers(seen: Dict[str, Any], expected: List[str]) -> None:
    """The words say why, and what to do."""
    assert told(NOTHING._replace(**seen)) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            {"losses": {**SAID["losses"], "bad_frames": 2}, "last_bad_frame": "It is old.", "since_bad_frame": 5.0},
            [
                "2 messages of workers could not be read. The last one: It is old.",
                "Use the same version of tapes-zmq in all processes: restart those that were started before an update.",
            ],
        ),
        (
            {"losses": {**SAID["losses"], "overflowed": 4, "left_out": 5}},
            [
                "There are too many series: 4 are counted in overflow series only.",
                (
                    "Find tags with too many values, and record fewer: python -m tapes show /srv/tapes.toml --name "
                    "'*overflow=true*'. Or raise max_series or max_tag_sets in [aggregator]."
                ),
                "5 series of workers were left out.",
                "Its log names them. Most likely two processes use one name for two kinds: rename one.",
            ],
        ),
        (
            {"staleness": 15.6},
            [
                "It does not keep up: what it has of one worker is 16 s old.",
                "Let workers publish less often (interval in [aggregator]), or have fewer series.",
            ],
        ),
        (
            {"config_fault": "it is not TOML"},
            [
                "/srv/tapes.toml has changed, and the aggregator does not follow it: it is not TOML.",
                "Correct the file. python -m tapes check /srv/tapes.toml lists its faults.",
            ],
        ),
        (
            {"needs_restart": ["lease"]},
            [
                "lease in [aggregator] has changed, which needs a restart of the aggregator.",
                "Restart it: kill 77. A worker starts another one, which goes on with its totals.",
            ],
        ),
        (
            {"needs_restart": ["lease", "mode"], "resident": False},
            [
                "lease, mode in [aggregator] have changed, which needs a restart of the aggregator.",
                "Restart it: kill 77. Its supervisor starts it again.",
            ],
        ),
    ],
)
def test_an_aggregator_says_what_is_wrong(said: Dict[str, Any], expected: List[str]) -> None:
    """In its account of itself."""
    assert told(RUNS, {**SAID, **said}) == expected


def test_a_file_that_the_aggregator_has_not_read_again() -> None:
    """One under a supervisor reads it on SIGHUP only."""
    assert told(RUNS._replace(has_changed=True), SAID) == [
        "/srv/tapes.toml has changed since the aggregator has read it.",
        "Have it read again: kill -HUP 77",
    ]


def test_reporters_that_do_not_report() -> None:
    """Those that do are not mentioned."""
    reporters = (
        ReporterStatus("http", "HTTPReporter(x:1)", "not started", 0, 0, "Address in use."),
        ReporterStatus("statsd", "StatsdReporter(x:2)", "fails", 1, 3, "Connection refused"),
        ReporterStatus("stream", "StreamReporter()", "reports", 7, 1, "No space left on device"),
    )

    assert [problem.what for problem in of_reporters(reporters)] == [
        "The reporter http (HTTPReporter(x:1)) could not start: Address in use.",
        "The reporter statsd (StatsdReporter(x:2)) fails: Connection refused.",
    ]
