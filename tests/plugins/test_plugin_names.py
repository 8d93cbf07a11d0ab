"""Reporters and formats by name: what is found, and what is said of what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tapes
from tapes import plugins

if TYPE_CHECKING:
    from tests.plugins.distributions import Distributions

OFFER = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_reporters():
    return {offer!r}

@hookimpl
def tapes_formats():
    return {offer!r}
"""

LOOK_UP = """
from tapes import plugins
from tapes.errors import PluginError
def look_up(find, name):
    try:
        print(find(name))
    except PluginError as error:
        print(f"{type(error).__name__}: {error}")
reporter, format = plugins.reporter_class, plugins.format_named
"""


def offer(**targets: str) -> str:
    """Return a plugin that offers these targets as reporters and formats alike."""
    return OFFER.format(offer=targets)


def test_core_provides_its_own() -> None:
    """The reporters stream and http and the format json come through the hooks, like everyone's."""
    found = [plugins.reporter_class("stream"), plugins.reporter_class("http"), type(plugins.format_named("json"))]

    assert [f"{cls.__module__}:{cls.__name__}" for cls in found] == [
        "tapes.reporting.stream:ThreadedStreamReporter",
        "tapes.pages.http:HTTPReporter",
        "tapes.encoding.json:JsonFormat",
    ]


def test_core_needs_no_metadata(distributions: Distributions) -> None:
    """On a bare path, with nothing installed, core's reporters are there."""
    done = distributions.run("from tapes import plugins; print(*plugins.installed(), sep='\\n')")

    plugin = f"Plugin(name='core', distribution='tapes-core', version='{tapes.__version__}', status='ok', reason='')"
    assert done.lines[0] == f"({plugin},)"
    assert (
        f"'http': Provided(name='http', target='tapes.reporting.http:HTTPReporter', plugin={plugin})" in done.lines[1]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "reporter, 'statsd'",
            "There is no reporter 'statsd'. It comes with pip install tapes-statsd. Installed: http, stream.",
        ),
        (
            "reporter, 'tornado-stream'",
            "There is no reporter 'tornado-stream'. It comes with pip install tapes-tornado. Installed: http, stream.",
        ),
        (
            "reporter, 'tornado-statsd'",
            (
                "There is no reporter 'tornado-statsd'. It comes with pip install 'tapes-tornado[statsd]'. "
                "Installed: http, stream."
            ),
        ),
        (
            "reporter, 'zmq'",
            "There is no reporter 'zmq'. It comes with pip install tapes-zmq. Installed: http, stream.",
        ),
        (
            "reporter, 'pushgateway'",
            "There is no reporter 'pushgateway'. It comes with pip install tapes-prometheus. Installed: http, stream.",
        ),
        (
            "format, 'prometheus'",
            "There is no format 'prometheus'. It comes with pip install tapes-prometheus. Installed: json.",
        ),
        ("reporter, 'htpp'", "There is no reporter 'htpp'. Did you mean 'http'? Installed: http, stream."),
        (
            "reporter, 'statds'",
            (
                "There is no reporter 'statds'. Did you mean 'statsd' (it comes with pip install tapes-statsd)? "
                "Installed: http, stream."
            ),
        ),
        ("reporter, 'quux'", "There is no reporter 'quux'. Installed: http, stream."),
    ],
)
def test_unknown_name(distributions: Distributions, call: str, message: str) -> None:
    """A name that nobody provides is an error that says what is like it, what to install and what there is."""
    done = distributions.run(f"{LOOK_UP}\nlook_up({call})")

    assert done.lines == [f"UnknownPluginError: {message}"]


def test_unknown_name_says_what_was_left_out(distributions: Distributions) -> None:
    """Where plugins are blocked or broken, an unknown name may be one of theirs, so the error lists them."""
    distributions.install(
        "tapes-statsd", {"statsd_plugin": "raise ValueError('no')"}, entry_points={"statsd": "statsd_plugin"}
    )
    distributions.install("shop-metrics", {"shop": offer(shop="shop:Shop")})

    done = distributions.run(f"{LOOK_UP}\nplugins.block('shop')\nlook_up(reporter, 'statsd')")

    assert done.lines[1:] == [
        (
            "UnknownPluginError: There is no reporter 'statsd'. Installed: http, stream. Plugins that are left out: "
            "'shop' of shop-metrics 1.0 (blocked), "
            "'statsd' of tapes-statsd 1.0 (broken: loading 'statsd_plugin' raised ValueError: no)."
        )
    ]


def test_library_that_is_not_installed(distributions: Distributions) -> None:
    """A reporter whose own library is missing is an error that names distribution, cause and what to install."""
    leaf = "import library_of_others\n"
    distributions.install(
        "tapes-tornado",
        {"tornado_plugin": offer(**{"tornado-statsd": "leaf:Leaf"}), "leaf": leaf},
        entry_points={"tornado": "tornado_plugin"},
    )
    distributions.install("shop-metrics", {"shop": offer(shop="leaf:Leaf")})

    done = distributions.run(f"{LOOK_UP}\nlook_up(reporter, 'tornado-statsd'); look_up(format, 'shop')")

    cause = "importing leaf:Leaf raised ModuleNotFoundError: No module named 'library_of_others'"
    assert done.lines == [
        (
            f"PluginError: The reporter 'tornado-statsd' of tapes-tornado 1.0 cannot be used: {cause}. Install it with "
            "its dependencies: pip install 'tapes-tornado[statsd]'."
        ),
        (
            f"PluginError: The format 'shop' of shop-metrics 1.0 cannot be used: {cause}. Install it with its "
            "dependencies: pip install shop-metrics."
        ),
    ]


def test_target_that_is_something_else(distributions: Distributions) -> None:
    """What is no reporter, or no format, in the place that a plugin names is an error that names the plugin."""
    module = """
        def function(): pass
        class Picky:
            def __init__(self, colour): pass
        class Format:
            media_type = "text/plain"
            def encode(self, snapshot): return b""
        class Outer:
            Inner = Format
    """
    targets = {
        "function": "things:function",
        "picky": "things:Picky",
        "good": "things:Outer.Inner",
        "gone": "things:gone",
    }
    distributions.install("shop-metrics", {"shop": offer(**targets), "things": module}, entry_points={"shop": "shop"})

    done = distributions.run(
        LOOK_UP
        + "look_up(reporter, 'function'); look_up(reporter, 'picky'); look_up(reporter, 'gone')\n"
        + "look_up(format, 'function'); look_up(format, 'picky'); print(format('good').media_type)"
    )

    words = [line.partition(" at 0x")[0] for line in done.lines]
    assert words[0].startswith("PluginError: The reporter 'function' of shop-metrics 1.0 is <function function")
    assert words[1] == (
        "PluginError: The reporter 'picky' of shop-metrics 1.0 is <class 'things.Picky'> (things:Picky) "
        "and not a subclass of tapes.reporting.Reporter. Update shop-metrics."
    )
    assert "raised AttributeError: module 'things' has no attribute 'gone'. Install it" in words[2]
    assert words[3].startswith(
        "PluginError: The format 'function' of shop-metrics 1.0 is None (things:function), which"
    )
    assert words[4].startswith(
        "PluginError: The format 'picky' of shop-metrics 1.0 cannot be made: things:Picky() raised"
    )
    assert words[5] == "text/plain"
