"""Where a configuration may come from, and what is said of one that cannot be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tapes.config.checking import check
from tapes.errors import ConfigError

HTTP = "[reporters.http]\nport = 0\n"


def fault(config: object) -> str:
    """Return the message of the error that a configuration is refused with."""
    with pytest.raises(ConfigError) as caught:
        check(config)  # type: ignore[arg-type]  # some of what is refused is of the wrong type
    return str(caught.value)


@pytest.mark.parametrize("kind", [str, Path])
def test_toml_file(tmp_path: Path, kind: type) -> None:
    """A configuration may be the path of a TOML file, as a str or a path object."""
    file = tmp_path / "tapes.toml"
    file.write_text(HTTP)

    checked = check(kind(file))

    assert [(each.key, each.options) for each in checked.reporters] == [("http", {"port": 0})]


def test_byte_order_mark(tmp_path: Path) -> None:
    """The mark that editors of Windows put before everything else is no part of the first key."""
    file = tmp_path / "tapes.toml"
    file.write_text(HTTP, encoding="utf-8-sig")

    assert [each.key for each in check(file).reporters] == ["http"]


def test_pyproject(tmp_path: Path) -> None:
    """In a file named pyproject.toml the tables are under [tool.tapes]."""
    file = tmp_path / "pyproject.toml"
    file.write_text("[project]\nname = 'shop'\n[tool.tapes.reporters.http]\nport = 0\n")

    checked = check(file)

    assert [each.key for each in checked.reporters] == ["http"]


@pytest.mark.parametrize("content", ["", "[tool]\n", "tool = 1\n", "[tool]\ntapes = 1\n", HTTP])
def test_pyproject_without_a_table(tmp_path: Path, content: str) -> None:
    """A pyproject.toml without [tool.tapes] is refused."""
    file = tmp_path / "pyproject.toml"
    file.write_text(content)

    assert fault(file) == (
        f"{file} has 1 fault, nothing was started:\n  - it has no table [tool.tapes]: add it, with the tables of tapes "
        "below it"
    )


def test_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the file that TAPES_CONFIG names is read, and errors say that it is from there."""
    file = tmp_path / "tapes.toml"
    file.write_text(HTTP)
    monkeypatch.setenv("TAPES_CONFIG", str(file))

    checked = check()

    assert [each.key for each in checked.reporters] == ["http"]
    file.write_text("max_tag_sets = 1")
    assert fault(None).startswith(f"{file} (named by TAPES_CONFIG) has 1 fault, ")


@pytest.mark.parametrize("value", [None, ""])
def test_environment_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Without an argument and without the variable there is nothing to read, which the error says."""
    monkeypatch.delenv("TAPES_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TAPES_CONFIG", value)

    assert fault(None) == (
        "The environment variable TAPES_CONFIG has 1 fault, nothing was started:\n"
        "  - it is not set, and no file was given: set it to the path of a TOML file, or pass a path"
    )


def test_something_else() -> None:
    """What is neither a mapping nor a path is refused."""
    assert fault(5) == (
        "The configuration has 1 fault, nothing was started:\n"
        "  - 5 (int) is neither a mapping nor the path of a TOML file"
    )


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is missing, or is a directory, is refused with its name and the reason."""
    missing = tmp_path / "missing.toml"

    assert fault(missing) == (
        f"{missing} has 1 fault, nothing was started:\n  - it cannot be read: No such file or directory"
    )
    assert fault(tmp_path) == f"{tmp_path} has 1 fault, nothing was started:\n  - it cannot be read: Is a directory"


def test_malformed_toml(tmp_path: Path) -> None:
    """A file that is not TOML is refused with its name and the line."""
    file = tmp_path / "tapes.toml"
    file.write_text("[reporters.http]\nport = \n")

    message = fault(file)

    assert message.startswith(
        f"{file} has 1 fault, nothing was started:\n  - it is not TOML: Invalid value (at line 2, "
    )


def test_other_encoding(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused with its name and the line."""
    file = tmp_path / "tapes.toml"
    file.write_bytes(b"[reporters.http]\nport = 0\nhost = '\xe4'\n")

    assert fault(file).startswith(
        f"{file} has 1 fault, nothing was started:\n  - line 3 is not UTF-8, as TOML has to be: "
    )


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="Python has tomllib")
def test_library_for_toml_is_missing(tmp_path: Path) -> None:
    """Where TOML needs a library that is not installed, the error says what to install."""
    file = tmp_path / "tapes.toml"
    file.write_text(HTTP)
    code = "import sys; sys.modules['tomli'] = None; import tapes; tapes.configure(sys.argv[1])"

    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr.endswith(
        "  - Python before 3.11 needs a library to read TOML, which is not installed: pip install tomli\n"
    )
