"""Reporters in forked children: with hooks, without hooks, and in the middle of things."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunScript

PREAMBLE = """
import tapes, sys, os, time, threading, json, socket
from tapes import Registry
from tapes.errors import ReporterStateError
from tapes.reporting import ScheduledReporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.testing import MemoryReporter
from http.client import HTTPConnection

def until(happened):
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.005)

def first(reporter):
    until(lambda: reporter.reports)

def fork_without_hooks():
    import ctypes
    return ctypes.PyDLL(None).fork()

def in_child(check, fork=os.fork):
    sys.stdout.flush()
    pid = fork()
    if pid == 0:
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0

def fetch(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/")
    response = connection.getresponse()
    return response.status, json.loads(response.read())
"""


def test_a_child_reports_by_itself_what_it_has_counted(run_script: RunScript, tmp_path: Path) -> None:
    """After a fork, parent and child each write reports of their own counts to the file, and nothing twice."""
    path = tmp_path / "stats.json"

    done = run_script(
        f"""{PREAMBLE}
reporter = ThreadedStreamReporter(0.02, path=sys.argv[1])
orders = tapes.counter("orders")
orders.increment(100)
reporter.start()
first(reporter)

def child():
    assert reporter.running
    assert [thread.name for thread in threading.enumerate()] == ["MainThread", "tapes-ThreadedStreamReporter"]
    orders.increment(7)
    until(lambda: reporter.reports >= 3)
    reporter.stop()

in_child(child)
assert reporter.running
reporter.stop()
""",
        str(path),
    )

    assert (done.returncode, done.stderr) == (0, "")
    values = [json.loads(line)["orders"]["value"] for line in path.read_text().splitlines()]
    assert set(values) == {100, 7}
    assert values.count(7) >= 3
    assert values[-1] == 100


def test_a_reporter_that_cannot_start_in_a_child_does_not_fail_the_fork(run_script: RunScript) -> None:
    """What goes wrong in a child is logged there, and the child goes on without the reporter."""
    done = run_script(f"""{PREAMBLE}
class Once(MemoryReporter):
    opened = False

    def open(self):
        if self.opened:
            raise OSError("only once")
        self.opened = True

reporter = Once(3600)
reporter.start()

def child():
    assert not reporter.running
    reporter.stop()
    print("child went on")

in_child(child)
assert reporter.running
""")

    assert done.returncode == 0
    assert done.stdout == "child went on\n"
    assert "could not be started again after a fork" in done.stderr
    assert "this process is not reported. only once." in done.stderr


PROGRAMS = {
    "the first report of a child comes after an interval": """
reporter = MemoryReporter(3600)
reporter.start()
first(reporter)
def child():
    time.sleep(0.2)
    assert reporter.reports == 0

in_child(child)
reporter.stop()
""",
    "the books of a child begin at zero": """
class Failing(MemoryReporter):
    def report(self):
        raise OSError("no")

import logging
logging.disable(logging.CRITICAL)
reporter = Failing(3600)
reporter.start()
until(lambda: reporter.failures)

def child():
    assert (reporter.reports, reporter.failures, reporter.last_error) == (0, 0, None)

in_child(child)
reporter.stop()
""",
    "a lock that another thread held does not matter in a child": """
reporter = MemoryReporter(3600)
reporter.start()
first(reporter)
held = threading.Event()

def hold():
    with reporter._lock:
        held.set()
        time.sleep(600)

threading.Thread(target=hold, daemon=True).start()
held.wait()

def child():
    assert reporter.running
    reporter.stop()
    assert reporter.reports == 1
    reporter.start()
    first(reporter)
    reporter.stop()

in_child(child)
os._exit(0)
""",
    "a report that forks does not report twice in the child": """
class Forking(MemoryReporter):
    pid = forker = None

    def report(self):
        super().report()
        if self.forker is None:
            self.forker = threading.get_ident()
            self.pid = os.fork()
        elif not self.pid:
            print("child", threading.get_ident() != self.forker, flush=True)

reporter = Forking(3600)
reporter.start()
until(lambda: reporter.pid)
os.waitpid(reporter.pid, 0)
reporter.stop()
""",
    "where no hook runs, as in uWSGI, a child sees a stopped reporter": """
reporter = MemoryReporter(3600)
reporter.start()
first(reporter)

def child():
    ghosts = [thread for thread in threading.enumerate() if thread.name.startswith("tapes-")]
    assert [ghost.is_alive() for ghost in ghosts] == [True]
    assert not reporter.running
    began = time.monotonic()
    reporter.stop(60)
    assert time.monotonic() - began < 30
    reporter.start()
    assert reporter.running
    first(reporter)
    reporter.stop()
    assert reporter.reports == 2, reporter.reports
    print("fine")

in_child(child, fork_without_hooks)
assert reporter.running
reporter.stop()
print("parent too")
""",
    "where no hook runs, the exit of a child waits for no ghost": """
import select, tapes.reporting.run
tapes.process.shutdown.EXIT_TIMEOUT = 60
reporter, server = MemoryReporter(3600), HTTPReporter(0)
reporter.start()
server.start()
first(reporter)

def child():
    began = time.monotonic()
    tapes.process.shutdown.stop_all()
    assert time.monotonic() - began < 30

in_child(child, fork_without_hooks)
assert not select.select([server._wake[0]], [], [], 0)[0]
reporter.stop()
server.stop()
assert reporter.reports == 2
""",
    "a server stays with the parent, and a child may start one of its own": """
def sockets():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                found.append(name)
        except OSError:
            pass
    return found

reporter = HTTPReporter(0)
reporter.start()
tapes.counter("orders").increment(3)
port = reporter.port
kept = HTTPConnection("127.0.0.1", port, timeout=20)
kept.request("GET", "/")
kept.getresponse().read()
client = kept.sock.fileno()

def child():
    os.close(client)
    assert not reporter.running
    assert sockets() == [], sockets()
    reporter.stop()
    other = HTTPReporter(0)
    with other:
        assert other.port != port
        assert fetch(other.port) == (200, {"orders": {"value": 0}})
    with reporter:
        assert fetch(reporter.port)[0] == 200

in_child(child)
assert reporter.running
kept.request("GET", "/")
assert json.loads(kept.getresponse().read()) == {"orders": {"value": 3}}
assert fetch(port) == (200, {"orders": {"value": 3}})
reporter.stop()
""",
    "a client sees the end of its connection although a child lives": """
from tests.servers.processes import free_port
port = free_port()
reporter = HTTPReporter(port)
reporter.start()
client = socket.create_connection(("127.0.0.1", port), 20)
until(lambda: len(reporter._connections))
forked, tell = os.pipe()
pid = os.fork()
if pid == 0:
    client.close()
    os.write(tell, b"!")  # it has let go of what it inherited
    time.sleep(60)
    os._exit(0)
os.read(forked, 1)
reporter.stop()
assert client.recv(100) == b""
again = HTTPReporter(port)
again.start()
assert fetch(port)[0] == 200
again.stop()
os.kill(pid, 9)
os.waitpid(pid, 0)
""",
    "many children in a row all report, while reports are being made": """
reporter = MemoryReporter(0.001)
reporter.start()
first(reporter)
for _ in range(15):
    in_child(lambda: (first(reporter), reporter.stop()))
reporter.stop()
assert reporter.failures == 0
""",
}

OUTPUTS = {
    "a report that forks does not report twice in the child": "child True\n",
    "where no hook runs, as in uWSGI, a child sees a stopped reporter": "fine\nparent too\n",
}
"""Those of programs that say something."""


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_fork_in_the_middle_of_things(run_script: RunScript, what: str) -> None:
    """What was going on in the parent goes on there, and does not get into the way of the child."""
    done = run_script(PREAMBLE + PROGRAMS[what])

    assert (done.returncode, done.stderr, done.stdout) == (0, "", OUTPUTS.get(what, ""))
