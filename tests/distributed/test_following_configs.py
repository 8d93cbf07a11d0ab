"""A config that is read anew: which reporters follow which, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from tapes.distributed import connection, keys
from tapes.distributed.configured import ConfiguredAggregator
from tapes.distributed.driving import Change
from tapes.distributed.registry import DistributedRegistry
from tapes.reporting import Reporter
from tests.distributed.receiving import at_work, await_total
from tests.servers.processes import free_port


class Place:
    """An aggregator, and its config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "aggregator.toml"
        self.write("kept", "before")
        self.aggregator = ConfiguredAggregator(self.path)
        for reporter in self.aggregator.reporters:
            reporter.start()

    def write(self, *names: str) -> None:
        """Write a config with reporters of these names."""
        self._names = names
        tables = [
            f'[reporters.{name}]\ntype = "stream"\ninterval = 3600\npath = "{self.folder}/{name}"\n' for name in names
        ]
        self.path.write_text("\n".join(tables))

    def follow(self) -> Change:
        """Read the config anew, stop and start what it says, and return that."""
        change = self.aggregator.reload()
        for reporter in change.ends:
            reporter.stop()
        for reporter in change.begins:
            reporter.start()
        return change

    @property
    def reporters(self) -> Dict[str, Reporter]:
        """The reporters, by their names in the config that was written last, and is followed."""
        return dict(zip(self._names, self.aggregator.reporters))


@pytest.fixture
def place(tmp_path: Path) -> Any:
    """Provide an aggregator that is not at work, and reporters that are."""
    made = Place(tmp_path)
    yield made
    for reporter in made.aggregator.reporters:
        reporter.stop()


def test_what_is_the_same_in_both_goes_on(place: Place) -> None:
    """The very reporter. What has been replaced once is not replaced again."""
    before = place.reporters
    place.write("kept", "after")
    first = place.follow()
    after = place.reporters
    second = place.follow()

    assert first == Change((before["before"],), (after["after"],))
    assert after["kept"] is before["kept"]
    assert second == Change()
    assert place.reporters == after


def test_faults_are_one_line(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is in the names that the config has."""
    before = place.reporters
    place.path.write_text('"two\\nlines" = 1\n[reporters]\n')
    change = place.follow()

    assert change == Change()
    assert place.reporters == before
    (line,) = caplog.messages
    assert line.startswith("The aggregator keeps its old config, ")
    assert f"{place.path}: two lines: " in line
    assert "\n" not in line


def test_another_folder_of_keys_is_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing need be started again for it: workers that have keys of the new one are let in."""
    monkeypatch.setattr(connection, "_REFUSED", 0.1)
    folders = [keys.generate(tmp_path / name) for name in ("before", "after")]
    address = f"tcp://127.0.0.1:{free_port()}"
    path = tmp_path / "aggregator.toml"
    configs = [
        f'[aggregator]\nsocket_addr = "{address}"\nkeys = "{folder}"\n'
        f'[reporters.stream]\ninterval = 3600\npath = "{tmp_path}/report"\n'
        for folder in folders
    ]
    path.write_text(configs[0])
    aggregator = ConfiguredAggregator(path)
    worker = DistributedRegistry(address, interval=0.05, keys=folders[1])
    worker.counter("served").increment(3)
    with at_work(aggregator):
        path.write_text(configs[1])
        change = aggregator.reload()
        worker.connect()
        await_total(aggregator.registry, 3)
        worker.close()

    assert change == Change()
    assert [message for message in caplog.messages if "restart the aggregator" in message] == []
