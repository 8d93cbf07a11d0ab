"""The thread of a reporter imports nothing: a fork in that moment would leave the child with half of a module."""

from __future__ import annotations

import pytest

from tests.conftest import RunScript

SCRIPT = """
import _thread, os, socket, sys, time
from tapes import Registry
{imports}

mine, imported = _thread.get_ident(), []

def note(event, arguments):
    if event == "import" and _thread.get_ident() != mine:
        imported.append(arguments[0])

sys.addaudithook(note)
receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
registry = Registry()
registry.counter("served").increment()
registry.timer("latency").update(1)
reporter = {reporter}
reporter.start()
deadline = time.monotonic() + 30
while not reporter.reports + reporter.failures and time.monotonic() < deadline:
    time.sleep(0.005)
reporter.stop()
print(bool(reporter.reports + reporter.failures), imported)
"""

REPORTERS = {
    "stream": ("tapes.reporting.stream.ThreadedStreamReporter", "(0.05, registry=registry, path=os.devnull)"),
    "stream-that-fails": (
        "tapes.reporting.stream.ThreadedStreamReporter",
        "(0.05, registry=registry, path='/dev/full')",
    ),
    "statsd": (
        "tapes.reporting.statsd.StatsdReporter",
        "(0.05, 'localhost', receiver.getsockname()[1], registry=registry)",
    ),
    "zmq": ("tapes.distributed.reporter.ZmqReporter", "(0.05, 'ipc:///nowhere/a', registry)"),
}


@pytest.mark.parametrize(("where", "arguments"), REPORTERS.values(), ids=REPORTERS)
def test_the_thread_of_a_reporter_imports_nothing(run_script: RunScript, where: str, arguments: str) -> None:
    """All that it needs has been imported by whoever has started it."""
    module, _, name = where.rpartition(".")
    done = run_script(SCRIPT.format(imports=f"from {module} import {name}", reporter=name + arguments))

    assert done.returncode == 0, done.stderr
    assert done.stdout == "True []\n"
