"""Where the plugins are loaded whose routes are served, and where the modules of these routes are imported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Hashable, List

import pytest

from tapes import plugins
from tapes.errors import PluginError
from tapes.pages.application import Application
from tapes.pages.message import Headers, Page, Request, Response, Wanted
from tapes.pages.plugin_routes import PluginRoutes
from tapes.pages.route import FormatRoute
from tapes.registry import Registry
from tapes.snapshot import Snapshot
from tests.conftest import RunScript
from tests.pages.serving import EVERYTHING
from tests.pages.test_renderings import Asker

HOOKS = """
import threading
from tapes.plugins import hookimpl

loaded_in = threading.current_thread().name

@hookimpl
def tapes_routes():
    return {"/names": "names_route:Names"}
"""

ROUTE = """
import threading
from tapes.pages import Page

imported_in = threading.current_thread().name

class Names:
    def variant(self, headers):
        return headers.get("accept")

    def page(self, snapshot, variant):
        return Page("text/plain", str(variant).encode())
"""

SERVE = """
import sys, threading
kind, folder = sys.argv[1:]
sys.path.insert(0, folder)
from tests.pages.serving import ask, served

def module(name):
    return sys.modules.get(name)

print(module("names_hooks"))
with served(kind) as page:
    print(module("names_hooks").loaded_in == threading.current_thread().name, module("names_route"))
    print(ask(page.port, "GET", "/nothing")[0], module("names_route"))
    for accepted in "a", "b":
        print(ask(page.port, "GET", "/names", Accept=accepted)[::2])
    print(module("names_route").imported_in)
"""


@pytest.mark.parametrize("kind", sorted({*EVERYTHING} - {"MetricsHandler"}))
def test_no_request_waits_for_an_import_where_it_is_read(kind: str, run_script: RunScript, tmp_path: Path) -> None:
    """Whoever starts or mounts it loads the plugins; the module of a route is imported where its page is made."""
    metadata = tmp_path / "names-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: names\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[tapes]\nnames = names_hooks\n")
    (tmp_path / "names_hooks.py").write_text(HOOKS)
    (tmp_path / "names_route.py").write_text(ROUTE)

    done = run_script(SERVE, kind, str(tmp_path))

    expected = ["None", "True None", "404 None", "(200, b'a')", "(200, b'b')", f"tapes-{kind}-page"]
    assert done.stdout.splitlines() == expected, done.stderr


class Names:
    """A page that depends on a header."""

    def variant(self, headers: Headers) -> Hashable:
        """Return the header."""
        return headers.get("accept")

    def page(self, snapshot: Snapshot, variant: Hashable) -> Page:
        """Show the header."""
        return Page("text/plain", str(variant).encode())


class Plugins:
    """One plugin with a route, which is made as often as asked for, or cannot be."""

    def __init__(self) -> None:
        self.fault: List[Exception] = []
        self.made = 0

    def installed(self) -> Any:
        """Return what is installed."""
        return SimpleNamespace(routes={"/names": "the plugin"})

    def route_at(self, path: str) -> Any:
        """Make the route."""
        if self.fault:
            raise self.fault.pop()
        self.made += 1
        return Names()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """Install the plugin."""
    shop = Plugins()
    monkeypatch.setattr(plugins, "installed", shop.installed)
    monkeypatch.setattr(plugins, "route_at", shop.route_at)
    return shop


def application(errors: List[BaseException]) -> Application:
    """Return an application with the routes of plugins."""
    routes = PluginRoutes(FormatRoute())
    return Application(
        Registry().snapshot,
        routes,
        "test",
        made=lambda path: None,
        failed=lambda path, error: errors.append(error),
    )


def decided(application: Application, accept: str) -> Wanted:
    """Return the page that a request wants."""
    wanted = application.decide(Request("GET", "/names", "", {"accept": accept}))
    assert isinstance(wanted, Wanted)
    return wanted


def made(application: Application, wanted: Wanted) -> Page:
    """Have it made."""
    asker = Asker()
    application.renderings.ask(asker, wanted, counted=True)
    assert asker.taken.wait(60)
    application.renderings.leave(asker)
    return asker.pages[0]


def test_who_waits_for_a_route_to_be_made_gets_the_page_asked_for(shop: Plugins) -> None:
    """Requests that differ get pages that differ, those that came before the route was there too; it is made once."""
    served = application([])
    early = [decided(served, accept) for accept in ("a", "b", "a")]
    assert shop.made == 0
    assert early[0] == early[2] != early[1]

    pages = [made(served, wanted).body for wanted in (*early, decided(served, "c"))]

    assert pages == [b"a", b"b", b"a", b"c"]
    assert decided(served, "c") == Wanted("/names", "c")
    assert shop.made == 1


def test_a_route_that_could_not_be_made_is_tried_again(shop: Plugins) -> None:
    """Each time that its page is to be made."""
    errors: List[BaseException] = []
    served = application(errors)
    shop.fault = [PluginError("gone")]

    pages = [made(served, decided(served, "a")).body for _ in range(2)]

    assert pages == [None, b"a"]
    assert [str(error) for error in errors] == ["gone"]


def test_a_plugin_that_serves_pages_while_it_is_loaded_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are being loaded then, and are there when the first request comes."""

    def loading() -> Any:
        raise PluginError("loading")

    monkeypatch.setattr(plugins, "installed", loading)

    answer = application([]).decide(Request("GET", "/", "", {}))

    assert not isinstance(answer, Response)
