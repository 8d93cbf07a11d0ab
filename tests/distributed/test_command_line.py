"""`python -m tapes.distributed`: what it says, what it refuses, and the keys that it makes. It starts nothing here."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple

import pytest

from tapes.distributed import keys
from tapes.distributed.__main__ import main

CONFIG = """
[aggregator]
socket_addr = "ipc://{folder}/a"
state_path = "{folder}/state"
lease = 5
by_worker = false

[reporters.stream]
interval = 0.1
path = "{folder}/report"
"""
"""One without a fault."""

STREAM = "[reporters.stream]\ninterval = 1\n"


class Said(NamedTuple):
    """What came of a command."""

    status: object
    text: str


Command = Callable[..., Said]


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs the command line. `config` is the content of the file that it is given."""

    def run(*arguments: object, config: str = "") -> Said:
        given = [str(each) for each in arguments]
        if config:
            (folder / "aggregator.toml").write_text(config)
            given += ["--config", str(folder / "aggregator.toml")]
        try:
            status: object = main(given)
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        said = Said(status, captured.out + captured.err)
        assert "Traceback" not in said.text
        return said

    return run


def test_help(command: Command) -> None:
    """It says what the command does, names the other command, and shows a config that can be run as it is."""
    said = command("--help")
    lines = said.text.splitlines()
    example = [line[4:] for line in lines if line.startswith("    ") and not line.startswith("     ")]

    assert said.status == 0
    for part in ("--config FILE", "--check", "[reporters.", "keygen DIR", "TAPES_CONFIG", "exit status"):
        assert part in said.text
    assert "[aggregator]" in example
    assert command("--check", config="\n".join(example)).status == 0


def test_check_starts_nothing(command: Command, folder: Path) -> None:
    """A config without a fault is said to be right, and no file, socket or report has been made."""
    said = command("--check", config=CONFIG.format(folder=folder))

    assert said.status == 0
    assert " is valid" in said.text
    assert [path.name for path in folder.iterdir()] == ["aggregator.toml"]


FAULTY = """
nonsense = 1

[aggregator]
socket_addr = "tcp://10.0.0.1:1"
by_worker = "yes"
leese = 3

[reporters.stream]
interval = "often"
path = "report"

[reporters.http]
port = 8889
hots = "x"

[reporters.statsq]
"""

FAULTS: Dict[str, Tuple[str, List[str]]] = {
    "many": (
        FAULTY,
        [
            *("nonsense", "aggregator.by_worker", "aggregator.leese"),
            *("reporters.stream.interval", "reporters.http.hots", "reporters.statsq"),
        ],
    ),
    "no TOML": ("[aggregator\n", ["aggregator.toml"]),
    "no table": (f'aggregator = "ipc://x"\n{STREAM}', ["aggregator", "not a table"]),
    **{
        options: (f"[aggregator]\n{options}\n{STREAM}", ["aggregator", part])
        for options, part in (
            ('socket_addr = "tcp://10.0.0.1:1"', "keygen DIR"),
            ("lease = 0", "lease"),
            ("lease = -1.5", "lease"),
            ('socket_addr = "here"', "tcp://HOST:PORT"),
            ('keys = "/nowhere"', "/nowhere"),
            ("socket_addr = 5", "aggregator.socket_addr"),
        )
    },
}


@pytest.mark.parametrize("arguments", [["--check"], []], ids=["check", "run"])
@pytest.mark.parametrize(("config", "parts"), FAULTS.values(), ids=FAULTS)
def test_all_faults_of_a_config_are_listed(
    command: Command, folder: Path, arguments: List[str], config: str, parts: List[str]
) -> None:
    """One line each, with its key, also what only the constructor knows to be wrong, and nothing is started."""
    said = command(*arguments, config=config)

    assert said.status == 1
    assert [part for part in parts if part not in said.text] == []
    assert [path.name for path in folder.iterdir()] == ["aggregator.toml"]


@pytest.mark.parametrize("section", ["aggregator", "reporters.zmq"])
@pytest.mark.parametrize(
    ("options", "right"),
    [
        ('socket_addr = "tcp://10.0.0.1:5550"', False),
        ('socket_addr = "tcp://10.0.0.1:5550"\ninsecure = false', False),
        ('socket_addr = "tcp://10.0.0.1:5550"\ninsecure = true', True),
        ('socket_addr = "tcp://10.0.0.1:5550"\nkeys = "{keys}"', True),
        ('socket_addr = "tcp://10.0.0.1:5550"\nkeys = "{keys}/none"', False),
        ('socket_addr = "tcp://127.0.0.1:5550"', False),
    ],
)
def test_a_config_is_checked_as_the_constructors_check(
    command: Command, folder: Path, section: str, options: str, right: bool
) -> None:
    """The same addresses are refused in the file of an aggregator, before anything is started, naming the table."""
    made = keys.generate(folder / "keys")
    said = command("--check", config=f"[{section}]\n{options.format(keys=made)}\n{STREAM}")

    assert said.status == (0 if right else 1), said.text
    if not right:
        assert section in said.text
        assert "keygen DIR" in said.text


def test_a_missing_file(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, in one line. Without `--config` and TAPES_CONFIG it says how to give one."""
    monkeypatch.setenv("TAPES_CONFIG", "")
    missing, unnamed = command("--config", folder / "nowhere.toml"), command()

    assert (missing.status, unnamed.status) == (1, 1)
    assert "nowhere.toml" in missing.text
    assert "TAPES_CONFIG" in unnamed.text or "--config" in unnamed.text


def test_the_file_may_be_named_by_the_environment(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TAPES_CONFIG is what `tapes.configure` reads, too. It may be a pyproject, with the tables below [tool.tapes]."""
    content = CONFIG.format(folder=folder)
    tables = content.replace("[aggregator]", "[tool.tapes.aggregator]").replace("[rep", "[tool.tapes.rep")
    for name, text in (("tapes.toml", content), ("pyproject.toml", tables)):
        (folder / name).write_text(text)
        monkeypatch.setenv("TAPES_CONFIG", str(folder / name))
        said = command("--check")

        assert (said.status, " is valid" in said.text) == (0, True)


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"], ["--conf", "x"], ["keygen"]], ids=" ".join)
def test_unknown_arguments(command: Command, arguments: List[str]) -> None:
    """They are refused with the usage and status 2."""
    said = command(*arguments)

    assert said.status == 2
    assert "usage: python -m tapes.distributed" in said.text


# Keys.


def test_keygen_makes_keys(command: Command, folder: Path) -> None:
    """The command makes a folder with a pair for each side, and says where."""
    made = folder / "new" / "keys"
    said = command("keygen", made)

    assert said.status == 0
    assert str(made) in said.text
    assert keys.of_aggregator(made).admitted == {keys.of_worker(made).public: "worker"}


def test_keygen_replaces_nothing(command: Command, folder: Path) -> None:
    """A second run leaves the keys as they are and fails; with a name for its workers it adds a pair of them."""
    made = folder / "keys"
    first = command("keygen", made)
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    again = command("keygen", made)
    added = [command("keygen", made, "--worker", "shop") for _ in range(2)]
    after = {path.name: path.read_bytes() for path in made.iterdir()}

    assert [said.status for said in (first, again, *added)] == [0, 1, 0, 1]
    assert "is there already" in again.text
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == ["shop.key", "shop.key_secret"]
    assert set(keys.of_aggregator(made).admitted.values()) == {"shop", "worker"}


@pytest.mark.parametrize("name", ["aggregator", "../shop", "a/b", ""])
def test_keygen_takes_names_that_are_names(command: Command, folder: Path, name: str) -> None:
    """A name that would write elsewhere, or over the aggregator, is refused."""
    command("keygen", folder / "keys")
    before = sorted(folder.rglob("*.key*"))
    said = command("keygen", folder / "keys", "--worker", name)

    assert said.status in (1, 2)
    assert sorted(folder.rglob("*.key*")) == before


def test_keygen_needs_a_folder_that_it_may_write_to(command: Command, folder: Path) -> None:
    """What is in its way is said in a line, and not in a traceback."""
    (folder / "file").touch()
    said = command("keygen", folder / "file" / "keys")

    assert said.status == 1
    assert str(folder / "file") in said.text
