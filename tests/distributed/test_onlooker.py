"""Who looks at an aggregator changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tapes.distributed import rendezvous
from tapes.distributed.table import Table


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
