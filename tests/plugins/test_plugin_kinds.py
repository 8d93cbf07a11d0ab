"""Kinds of metrics that plugins provide, looked up by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapes import plugins
from tapes.kinds.counter import COUNTER

if TYPE_CHECKING:
    from tests.plugins.distributions import Distributions

PLUGIN = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_kinds():
    return {"peak": "shop_kinds:PEAK", "low": "shop_kinds:PEAK", "gone": "shop_kinds:GONE", "timer": "shop_kinds:PEAK"}
"""

KINDS = """
from tapes.kinds.kind import Kind

class PeakKind(Kind):
    pass

PEAK = PeakKind("peak")
"""

LOOK_UP = """
import sys
from tapes import plugins
from tapes.errors import PluginError
from tapes.kinds import kind

def look_up(name):
    try:
        print(repr(plugins.kind_named(name)), type(plugins.kind_named(name)).__name__)
    except PluginError as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def shop(distributions: Distributions) -> Distributions:
    """Install a plugin that provides kinds, good ones and broken ones, and claims one of core."""
    distributions.install("shop-metrics", {"shop": PLUGIN, "shop_kinds": KINDS}, entry_points={"shop": "shop"})
    return distributions


def test_core_provides_the_five() -> None:
    """Through the hook, like everyone's."""
    assert list(plugins.installed().kinds)[:5] == ["counter", "gauge", "histogram", "meter", "timer"]
    assert plugins.kind_named("counter") is COUNTER


def test_a_plugin_may_provide_kinds_alone(shop: Distributions) -> None:
    """Its module is imported when one is looked up, and a kind of core stays that of core."""
    done = shop.run(f"""{LOOK_UP}
plugins.installed()
print("shop_kinds" in sys.modules, kind.kind_named("peak"))
look_up("peak")
look_up("timer")
""")

    assert done.errors == ""
    assert "The kind 'timer' in shop-metrics 1.0 is ignored: the name belongs to tapes-core" in done.lines[0]
    assert done.lines[1:] == ["False None", "'peak' PeakKind", "'timer' TimerKind"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone", "PluginError: The kind 'gone' of shop-metrics 1.0 cannot be used: importing shop_kinds:GONE raised"),
        ("low", "PluginError: The kind 'low' of shop-metrics 1.0 is 'peak' (shop_kinds:PEAK), and not the tapes.kinds"),
        ("peek", "UnknownPluginError: There is no kind 'peek'. Did you mean 'peak'?"),
    ],
)
def test_what_is_no_kind_is_an_error(shop: Distributions, name: str, problem: str) -> None:
    """With the name, the distribution and the remedy."""
    done = shop.run(f"{LOOK_UP}\nlook_up({name!r})")

    assert done.lines[-1].startswith(problem)


def test_kinds_are_listed(shop: Distributions) -> None:
    """On the command line, and what is broken with the reason."""
    done = shop.run_module("tapes", "plugins")

    kinds = done.lines[[line.split()[:1] == ["KIND"] for line in done.lines].index(True) + 1 :]
    assert done.status == 1
    assert [line.split()[0] for line in kinds] == [
        *("counter", "gauge", "gone", "histogram", "low", "meter", "peak", "timer"),
    ]
    assert [line.split()[0] for line in kinds if "broken" in line] == ["gone", "low"]
