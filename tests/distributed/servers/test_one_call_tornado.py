"""One call in a Tornado application of several processes: any of them shows what all have answered."""

from __future__ import annotations

import http.client
import json
import sys

from tests.distributed.one_call import AT_THE_END, OneCall
from tests.distributed.servers.serving import PROCESSES, Group, ask, listening
from tests.distributed.whole.programs import Place
from tests.servers.processes import PATIENCE

REQUESTS = 60

APPLICATION = """
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, FallbackHandler, RequestHandler
from tornado.wsgi import WSGIContainer

class Home(RequestHandler):
    def get(self):
        served.increment()
        self.finish(str(os.getpid()))

page = configuration.wsgi("json")

def metrics(environ, start_response):
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = environ["PATH_INFO"], ""
    return page(environ, start_response)

mounted = WSGIContainer(metrics, ThreadPoolExecutor())
application = Application([("/", Home), ("/metrics", FallbackHandler, {"fallback": mounted})])
server = HTTPServer(application)
server.bind(int(sys.argv[1]), "127.0.0.1")
server.start(2)
IOLoop.current().start()
"""


def shown(port: int) -> int:
    """Return what a page of the application shows."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 200, body
    value: int = json.loads(body)["served"]["value"]
    return value


def test_tornado_is_counted_and_shown_by_each_of_its_processes(place: Place) -> None:
    """While it serves, the page includes what the process that answers has counted; in the end, what all have."""
    one = OneCall(place, interval=AT_THE_END)
    one.application(APPLICATION)

    def start(port: int, _: int) -> Group:
        command = [sys.executable, "application.py", str(port)]
        return Group(command, place.folder / "server", {}, place.folder)

    with listening(start, [True, False]) as (server, port, _):
        answered = ask(port, REQUESTS, PROCESSES, lambda: True)
        pages = [shown(port) for _ in range(20)]
        server.end(everyone=True)

        one.check(answered, server)
        assert 0 < pages[0] <= pages[-1] <= answered, pages
        assert pages == sorted(pages)
