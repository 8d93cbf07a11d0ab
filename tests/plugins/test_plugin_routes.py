"""Routes that plugins add to pages, whoever serves these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.distributions import Distributions

PLUGIN = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_routes():
    return {routes!r}
"""

ROUTES = """
from tapes.pages import Page

class Counts:
    def variant(self, headers):
        return "upper" if headers.get("accept") == "upper" else "lower"

    def page(self, snapshot, variant):
        lines = "".join(f"{reading.name} {reading.statistics['value']}\\n" for reading in snapshot.readings)
        return Page("text/x-counts", getattr(lines, variant)().encode(), (("Vary", "Accept"),))

class Half:
    def variant(self, headers):
        return None

class Raising(Counts):
    def page(self, snapshot, variant):
        raise ValueError("no")
"""

SERVE = """
import io, sys, urllib.error, urllib.request
from tapes import Registry, pages, plugins
from tapes.reporting.http import HTTPReporter

registry = Registry()
registry.counter("orders").increment(3)

def mounted(application, path, **headers):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, **{f"HTTP_{name}": headers[name] for name in headers}}
    answer = []
    body = b"".join(application(environ, lambda *start: answer.append(start)))
    ((status, fields),) = answer
    return status, dict(fields)["Content-Type"], body

def fetched(url, path, **headers):
    request = urllib.request.Request(url.rstrip("/") + path, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        response = error
    return f"{response.status} {response.reason}", response.headers["Content-Type"], response.read()
"""


@pytest.fixture
def shop(distributions: Distributions) -> Distributions:
    """Install a plugin that adds routes, good ones and broken ones, and claims that of core."""
    targets = {
        "/metrics": "shop_routes:Counts",
        "/half": "shop_routes:Half",
        "/raising": "shop_routes:Raising",
        "/gone": "shop_routes:Gone",
        "/": "shop_routes:Counts",
    }
    distributions.install(
        "shop-metrics", {"shop": PLUGIN.format(routes=targets), "shop_routes": ROUTES}, entry_points={"shop": "shop"}
    )
    return distributions


IGNORED = (
    "WARNING tapes.plugins: The route '/' in shop-metrics 1.0 is ignored: the name belongs to tapes-core {}. "
    "Uninstall one of the two, or block its plugin in the config."
)


def test_a_plugin_adds_a_page(shop: Distributions) -> None:
    """It is at its path for core's server and for what is mounted, in the variant that a client asks for."""
    done = shop.run(f"""{SERVE}
print(plugins.installed().routes["/"].plugin.version)
application = pages.wsgi(registry)
print(mounted(application, "/metrics"))
print(mounted(application, "/metrics", ACCEPT="upper"))
print(mounted(application, "/"))
print(mounted(application, "/nothing"))
print(mounted(pages.wsgi(registry, "json"), "/metrics"))
with HTTPReporter(0, registry) as reporter:
    print(fetched(reporter.url, "/metrics", Accept="upper"))
    print(fetched(reporter.url, "/"))
print(reporter.reports)
""")

    assert done.errors == ""
    assert done.lines == [
        IGNORED.format(done.lines[1]),
        done.lines[1],
        r"('200 OK', 'text/x-counts', b'orders 3\n')",
        r"('200 OK', 'text/x-counts', b'ORDERS 3\n')",
        "('200 OK', 'application/json', b'{\"orders\":{\"value\":3}}')",
        r"('404 Not Found', 'text/plain; charset=utf-8', b'404 Not Found\n')",
        r"('404 Not Found', 'text/plain; charset=utf-8', b'404 Not Found\n')",
        r"('200 OK', 'text/x-counts', b'ORDERS 3\n')",
        "('200 OK', 'application/json', b'{\"orders\":{\"value\":3}}')",
        "2",
    ]


def test_an_asgi_server_serves_it(shop: Distributions) -> None:
    """The routes are the same there."""
    done = shop.run(f"""{SERVE}
import asyncio
logging.disable()

async def call():
    sent = []
    waiting = asyncio.get_running_loop().create_future()

    async def send(message):
        sent.append(message)

    scope = {{"type": "http", "method": "GET", "path": "/metrics", "headers": [(b"accept", b"upper")]}}
    await pages.asgi(registry)(scope, lambda: waiting, send)
    return sent[0]["status"], sent[1]["body"]

print(asyncio.run(call()))
""")

    assert (done.lines, done.errors) == ([r"(200, b'ORDERS 3\n')"], "")


def test_a_broken_route_is_500(shop: Distributions) -> None:
    """The log says once why, and all other pages are served."""
    done = shop.run(f"""{SERVE}
with HTTPReporter(0, registry) as reporter:
    for path in "/half", "/", "/gone", "/gone", "/", "/raising", "/metrics":
        print(path, fetched(reporter.url, path)[0])
    print(reporter.reports, reporter.failures)
""")

    said = [line for line in done.lines if line.startswith("WARNING tapes.reporting")]
    assert [line for line in done.lines if line[0] == "/"] == [
        "/half 500 Internal Server Error",
        "/ 200 OK",
        "/gone 500 Internal Server Error",
        "/gone 500 Internal Server Error",
        "/ 200 OK",
        "/raising 500 Internal Server Error",
        "/metrics 200 OK",
    ]
    assert done.lines[-1] == "3 4"
    assert len(said) == 3
    assert all("could not make its page, and has answered 500" in line for line in said)


def test_routes_are_looked_up_by_path(shop: Distributions) -> None:
    """What is at a path is made; what cannot be, or is no route, is an error that says whose fault that is."""
    done = shop.run("""
        from tapes import plugins
        from tapes.errors import PluginError
        logging.disable()
        for path in "/", "/metrics", "/half", "/gone", "/metric":
            try:
                print(type(plugins.route_at(path)).__name__)
            except PluginError as error:
                print(f"{type(error).__name__}: {error}".partition(" at 0x")[0])
    """)

    assert done.lines == [
        "FormatRoute",
        "Counts",
        "PluginError: The route '/half' of shop-metrics 1.0 is <shop_routes.Half object",
        (
            "PluginError: The route '/gone' of shop-metrics 1.0 cannot be used: importing shop_routes:Gone raised "
            "AttributeError: module 'shop_routes' has no attribute 'Gone'. Install it with its dependencies: pip "
            "install shop-metrics."
        ),
        (
            "UnknownPluginError: There is no route '/metric'. Did you mean '/metrics'? "
            "Installed: /, /gone, /half, /metrics, /raising."
        ),
    ]


def test_plugins_are_loaded_before_the_first_request(shop: Distributions) -> None:
    """Who mounts or starts pages with all routes loads them; a route is imported when its path is asked for."""
    done = shop.run(f"""{SERVE}
logging.disable()
def loaded():
    return "shop" in sys.modules, "shop_routes" in sys.modules

pages.wsgi(registry, "json")
reporter = HTTPReporter(0, registry)
print(*loaded())
with reporter:
    print(*loaded())
    fetched(reporter.url, "/nothing")
    print(*loaded())
    fetched(reporter.url, "/metrics")
    print(*loaded())
""")

    assert done.lines == ["False False", "True False", "True False", "True True"]
    mounted = "logging.disable()\npages.asgi(registry)\nprint('shop' in sys.modules, 'shop_routes' in sys.modules)"
    assert shop.run(f"{SERVE}\n{mounted}").lines == ["True False"]


def test_a_plugin_that_is_blocked_has_no_routes(shop: Distributions) -> None:
    """Not before the first request, and not after it either."""
    done = shop.run(f"""{SERVE}
logging.disable()
application = pages.wsgi(registry)
print(mounted(application, "/metrics")[0])
plugins.block("shop")
print(mounted(application, "/metrics")[0])
print(mounted(pages.wsgi(registry), "/metrics")[0])
""")

    assert done.lines == ["200 OK", "404 Not Found", "404 Not Found"]
