"""The page about plugins says what is true."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tapes.plugins import hookspecs
from tests.docs.pages import files

if TYPE_CHECKING:
    from tests.plugins.distributions import Distributions

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def test_every_hook_is_documented() -> None:
    """Each hook has a section, headed by its exact signature, and nothing else has."""
    signatures = [
        f"{name}({', '.join(inspect.signature(hook).parameters)})"
        for name, hook in vars(hookspecs).items()
        if name.startswith("tapes_")
    ]

    assert re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE) == signatures


def test_hooks_have_no_defaults() -> None:
    """No argument of a hook has a default, because versions of pluggy disagree about what it means."""
    hooks = [hook for name, hook in vars(hookspecs).items() if name.startswith("tapes_")]

    assert len(hooks) == 7
    assert not [
        parameter
        for hook in hooks
        for parameter in inspect.signature(hook).parameters.values()
        if parameter.default is not parameter.empty
    ]


def test_example_distribution_works(distributions: Distributions) -> None:
    """The example distribution, built from the page, provides what it says and hears of failed reports."""
    shown = files(PAGE)
    modules = {name: shown[f"{name}.py"] for name in ("shop_plugin", "shop_metrics")}
    declared = re.findall(r'^shop = "(\w+)"$', shown["pyproject.toml"], re.MULTILINE)
    distributions.install("shop-metrics", modules, entry_points={"shop": declared[0]})
    (distributions.root / "tapes.toml").write_text(shown["tapes.toml"].replace("8889", "0"))

    done = distributions.run("""
        import tapes, urllib.request
        logging.getLogger("shop.metrics").setLevel("INFO")
        registry = tapes.Registry()
        registry.counter("orders").increment(3)
        with tapes.configure("tapes.toml", registry=registry) as configuration:
            url = configuration.reporters["http"].url
            print(urllib.request.urlopen(url).read())
            print(urllib.request.urlopen(urllib.request.Request(url + "names", headers={"Accept": "text/html"})).read())
        for streak in 1, 2, 3, 4:
            tapes.observers.report_failed[0](configuration.reporters["log"], OSError(), streak)
    """)

    assert sorted(done.lines) == [
        "ERROR shop: LogReporter(interval=10) cannot report.",
        "INFO shop.metrics: orders {'value': 3}",
        "INFO shop.metrics: orders {'value': 3}",
        "b\"orders {'value': 3}\\n\"",
        "b'<li>orders\\n'",
    ]
