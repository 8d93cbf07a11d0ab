"""Sources of a configuration: a mapping, a TOML file, or the file named by `TAPES_CONFIG`."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any, Dict, Mapping, NamedTuple, Union

from tapes.errors import ConfigError

ConfigSource = Union[Mapping[str, object], str, "os.PathLike[str]", None]
"""The types that `tapes.configure` accepts."""

VARIABLE = "TAPES_CONFIG"
"""The environment variable with the path of the file, if no other is given."""


DISABLED = "TAPES_DISABLED"
"""The environment variable that turns off whatever would be sent or served, if it is `1` or `true`."""


def is_disabled() -> bool:
    """Return whether this process is to check what it is given, and to do nothing then: for tests and commands."""
    return os.environ.get(DISABLED, "").strip().lower() in ("1", "true", "yes", "on")


class Source(NamedTuple):
    """An unchecked configuration, and its name in messages."""

    name: str
    table: Mapping[str, object]


def read(config: ConfigSource) -> Source:
    """Return the tables of `config`, unchecked.

    Raises ConfigError if a file cannot be read or is not TOML, and if there is nothing to read.
    """
    if isinstance(config, Mapping):
        return Source("The configuration", config)
    if config is None:
        named = os.environ.get(VARIABLE)
        if not named:
            fault = "it is not set, and no file was given: set it to the path of a TOML file, or pass a path"
            raise ConfigError(f"The environment variable {VARIABLE}", [fault])
        return _read_file(named, f"{named} (named by {VARIABLE})")
    try:
        path = os.fspath(config)
    except TypeError:
        fault = f"{config!r} ({type(config).__name__}) is neither a mapping nor the path of a TOML file"
        raise ConfigError("The configuration", [fault]) from None
    return _read_file(path, path)


def _read_file(path: str, name: str) -> Source:
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(name, [f"it cannot be read: {error.strerror or error}"]) from error
    table = _parse(content, name)
    if pathlib.Path(path).name != "pyproject.toml":
        return Source(name, table)
    tool = table.get("tool")
    ours = tool.get("tapes") if isinstance(tool, dict) else None
    if not isinstance(ours, dict):
        raise ConfigError(name, ["it has no table [tool.tapes]: add it, with the tables of tapes below it"])
    return Source(f"[tool.tapes] in {name}", ours)


def _parse(content: bytes, name: str) -> Dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            fault = "Python before 3.11 needs a library to read TOML, which is not installed: pip install tomli"
            raise ConfigError(name, [fault]) from error
    try:
        table: Dict[str, Any] = tomllib.loads(content.decode("utf-8-sig"))  # editors on Windows write a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(name, [f"line {line} is not UTF-8, as TOML has to be: {error.reason}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(name, [f"it is not TOML: {error}"]) from error
    return table
