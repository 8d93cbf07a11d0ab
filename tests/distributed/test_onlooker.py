"""Who looks at an aggregator changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from tapes.distributed import onlooker, rendezvous
from tapes.distributed.table import Table
from tapes.errors import ReporterError
from tapes.pages.message import Page


@pytest.fixture
def root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder in which private folders are made."""
    monkeypatch.setattr(rendezvous, "_ROOTS", (str(folder),))
    return folder


def test_looking_makes_no_folder(root: Path) -> None:
    """The address is where a process that publishes would meet others."""
    config: Dict[str, Any] = {"aggregator": {}, "reporters": {}}
    table = Table(config)
    address = f"ipc://{root}/tapes-{os.geteuid()}/{rendezvous.name_of(config)}"

    assert table.details().settings["socket_addr"] == address
    assert table.onlooker(1.0).status().address == address
    assert list(root.iterdir()) == []
    assert rendezvous.meeting_at(config).address == address


def test_looking_at_the_place_of_a_group_makes_no_folder(root: Path) -> None:
    """It is where all users of the group would meet."""
    config: Dict[str, Any] = {"aggregator": {"group": os.getegid()}, "reporters": {}}
    table = Table(config)
    address = table.onlooker(1.0).status().address

    assert list(root.iterdir()) == []
    assert table.details().settings["socket_addr"] == address
    assert rendezvous.meeting_at(config, os.getegid()).address == address


def test_no_private_folder_can_be_used(root: Path) -> None:
    """That is what is wrong, and `check` lists it too."""
    (root / f"tapes-{os.geteuid()}").write_text("")
    table = Table({"aggregator": {}, "reporters": {}})
    status = table.onlooker(1.0).status()

    assert (status.state, status.address) == ("not running", "nowhere")
    assert status.problems[0].what.endswith(" have no place to meet.")
    assert status.problems[0].remedy.startswith("There is no private folder for the socket of the aggregator: ")
    obstacles: List[str] = list(table.details().obstacles)
    assert obstacles[0].startswith("aggregator: There is no private folder for the socket of the aggregator: ")


ACCOUNT: Dict[str, Any] = {
    **dict.fromkeys(("pid", "age", "workers", "lag", "staleness", "series", "lease"), 1),
    **dict.fromkeys(("last_bad_frame", "since_bad_frame", "config_version", "config_fault"), None),
    "version": "1.0.0",
    "resident": True,
    "reporters": [],
    "needs_restart": [],
    "losses": dict.fromkeys(("bad_frames", "gaps", "left_out", "overflowed", "refused"), 0),
}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ACCOUNT, None),
        (None, "it answers /status with NoneType"),
        ([], "it answers /status with list"),
        ({**ACCOUNT, "reporters": [{"another": 1}]}, "what it says of itself has another form"),
        ({**ACCOUNT, "losses": {}}, "what it says of itself has another form"),
        ({**ACCOUNT, "age": "a day"}, "what it says of itself has another form"),
        ({**ACCOUNT, "config_version": 2}, "what it says of itself has another form"),
    ],
)
def test_an_aggregator_of_another_version_is_said_to_be_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, answer: object, why: Optional[str]
) -> None:
    """Whatever it answers."""
    page = Page("application/json", json.dumps(answer).encode())
    monkeypatch.setattr(onlooker, "page_at", lambda *_: page)
    status = Table({"aggregator": {}, "reporters": {}}).onlooker(1.0).status()

    assert (status.state, [why is not None and why in each.what for each in status.problems]) == (
        ("runs", []) if why is None else ("hangs", [True])
    )


@pytest.mark.parametrize("answer", [b"5", b"[" * 100_000])
def test_statistics_that_are_none(root: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """They are an error that says where to look further."""
    monkeypatch.setattr(onlooker, "page_at", lambda *_: Page("application/json", answer))

    with pytest.raises(ReporterError, match="python -m tapes status"):
        Table({"aggregator": {}, "reporters": {}}).onlooker(1.0).get_stats()
