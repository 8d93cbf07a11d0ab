"""The page about configurations says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tapes
from tapes import plugins
from tapes.config.checking import check
from tapes.config.options import Options
from tapes.errors import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize("name", ["http", "stream"])
def test_every_option_of_core_is_documented(name: str) -> None:
    """Each option of core's reporters has a row that says whether it must be given."""
    section = PAGE.split(f"### `{name}`")[1].split("\n###")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", section, re.MULTILINE))
    options = Options(plugins.reporter_class(name)).options

    required = {option.name: option.required for option in options.values()}
    assert {option: default == "required" for option, default in rows.items()} == {
        option: required[option] for option in required if option not in ("registry", "clock")
    }


def test_faults_are_as_shown() -> None:
    """The faults on the page are those that its example has."""
    shown = PAGE.split("prints\n\n```text\n")[1].split("\n```")[0]

    with pytest.raises(ConfigError) as caught:
        check({"reporters": {"http": {"prot": 8889}, "stream": {"interval": "10s"}}})

    assert str(caught.value) == shown


def test_signature_is_as_shown() -> None:
    """The signature on the page is that of the function."""
    import inspect

    parameters = inspect.signature(tapes.configure).parameters.values()

    assert [(each.name, each.default, each.kind.name) for each in parameters] == [
        ("config", None, "POSITIONAL_OR_KEYWORD"),
        ("registry", None, "KEYWORD_ONLY"),
    ]
    assert "`tapes.configure(config=None, *, registry=None)`" in PAGE
