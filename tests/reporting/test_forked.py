"""Reporters in forked children: with hooks, without hooks, and in the middle of things."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import RunScript
from tests.reporting.lines import statistics

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


def test_the_first_report_of_a_child_comes_after_an_interval(run_script: RunScript) -> None:
    """A child that ends before an interval has passed, to become another program for instance, has reported nothing."""
    done = run_script(f"""{PREAMBLE}
reporter = ThreadedStreamReporter(3600)
reporter.start()
first(reporter)
in_child(lambda: time.sleep(0.2))
reporter.stop()
""")

    assert (done.returncode, done.stderr) == (0, "")
    assert statistics(done.stdout) == [{}, {}]


def test_the_books_of_a_child_begin_at_zero(run_script: RunScript) -> None:
    """What was reported by the parent, and what went wrong there, is not the child's."""
    done = run_script(f"""{PREAMBLE}
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
""")

    assert (done.returncode, done.stderr) == (0, "")


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


def test_a_lock_that_the_parent_held_does_not_matter_in_a_child(run_script: RunScript) -> None:
    """A child can stop and start a reporter whose lock another thread of the parent held at the fork."""
    done = run_script(f"""{PREAMBLE}
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
""")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_report_that_forks_does_not_report_twice_in_the_child(run_script: RunScript) -> None:
    """When report() itself forks, the child's copy of that thread ends there, and the child with a last report."""
    done = run_script(f"""{PREAMBLE}
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
""")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "child True\n"


def test_a_child_without_hooks_sees_a_stopped_reporter_that_can_be_started(run_script: RunScript) -> None:
    """Where no hook of Python runs, as in uWSGI, the ghost of a thread is not taken for a running reporter."""
    done = run_script(f"""{PREAMBLE}
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
""")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "fine\nparent too\n"


def test_the_exit_of_a_child_without_hooks_waits_for_no_ghost(run_script: RunScript) -> None:
    """A child in which no hook ran exits at once: the run of the parent is not its own to end."""
    done = run_script(f"""{PREAMBLE}
import select, tapes.reporting.run
tapes.process.ending.EXIT_TIMEOUT = 60
reporter, server = ThreadedStreamReporter(3600), HTTPReporter(0)
reporter.start()
server.start()
first(reporter)

def child():
    began = time.monotonic()
    tapes.process.ending.stop_all()
    assert time.monotonic() - began < 30

in_child(child, fork_without_hooks)
assert not select.select([server._wake[0]], [], [], 0)[0]
reporter.stop()
server.stop()
""")

    assert (done.returncode, done.stderr) == (0, "")
    assert statistics(done.stdout) == [{}, {}]


def test_the_server_stays_with_the_parent(run_script: RunScript) -> None:
    """A child closes all that it has inherited of the server, may start one of its own, and the parent serves on."""
    done = run_script(f"""{PREAMBLE}
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
        assert fetch(other.port) == (200, {{"orders": {{"value": 0}}}})
    with reporter:
        assert fetch(reporter.port)[0] == 200

in_child(child)
assert reporter.running
kept.request("GET", "/")
assert json.loads(kept.getresponse().read()) == {{"orders": {{"value": 3}}}}
assert fetch(port) == (200, {{"orders": {{"value": 3}}}})
reporter.stop()
""")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_client_sees_the_end_of_its_connection_although_a_child_lives(run_script: RunScript) -> None:
    """A connection that the parent closes is closed, and a port that it leaves is free, with a child still there."""
    done = run_script(f"""{PREAMBLE}
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
""")

    assert (done.returncode, done.stderr) == (0, "")


def test_many_children_in_a_row_all_report(run_script: RunScript) -> None:
    """Many forks in a row, while reports are being made all the time, each get a child that reports."""
    done = run_script(f"""{PREAMBLE}
reporter = MemoryReporter(0.001)
reporter.start()
first(reporter)
for _ in range(30):
    in_child(lambda: (first(reporter), reporter.stop()))
reporter.stop()
assert reporter.failures == 0
""")

    assert (done.returncode, done.stderr) == (0, "")
