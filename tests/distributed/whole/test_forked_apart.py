"""The forked aggregator has nothing to do with what its parent was doing: nothing happens twice or is held up."""

from __future__ import annotations

import socket

import pytest

from tapes.distributed.registry import RegistryAggregator
from tapes.errors import TapesError
from tapes.reporting.stream import ThreadedStreamReporter
from tests.distributed.whole.programs import Place
from tests.servers.processes import free_port


def test_functions_registered_with_atexit_run_once(place: Place) -> None:
    """In the parent alone; finalizers of multiprocessing, buffers of files and threads that are waited for likewise.

    Standard output to a file is buffered by the block: what was there before the fork is the parent's to write.
    """
    program = place.run(
        """
        import weakref
        from multiprocessing import util

        file = open(FOLDER / "file", "w")
        file.write("buffered\\n")
        sys.stdout.write("before ")
        sys.stderr.write("error ")
        atexit.register(print, "atexit")
        util.Finalize(None, print, args=("finalizer",), exitpriority=1)

        class Held:
            pass

        held = Held()
        weakref.finalize(held, print, "weakref")
        threading.Thread(target=time.sleep, args=(1,)).start()
        with aggregator():
            sys.stdout.write("inside ")
        aggregator().start()
        """,
        PYTHONUNBUFFERED="",
    )

    place.check(program, said=None)
    assert sorted(program.said().split()) == ["atexit", "before", "error", "finalizer", "inside", "weakref"]
    assert (place.folder / "file").read_text() == "buffered\n"


def test_reporters_of_the_parent_do_not_run_in_it(place: Place) -> None:
    """What reports in the parent goes on there alone, also reporters that otherwise survive a fork."""
    program = place.run("""
        import tapes
        from tapes.reporting.http import HTTPReporter

        class Telling(ScheduledReporter):
            def report(self):
                with open(FOLDER / "tellers", "a") as file:
                    file.write(f"{os.getpid()}\\n")

        tapes.counter("local").increment()
        telling = Telling(0.02)
        local = ThreadedStreamReporter(0.02, path=FOLDER / "local")
        page = HTTPReporter(0)
        for reporter in (telling, local, page):
            reporter.start()
        with aggregator():
            registry = worker_registry()
            registry.connect()
            registry.counter("served").increment()
            noted("seen")
            registry.close()
        for reporter in (telling, local, page):
            reporter.stop()
    """)

    place.check(program, seen={"served.value": 1, "local.value": None})
    assert set((place.folder / "tellers").read_text().split()) == {str(program.pid)}


def test_a_reporter_that_runs_cannot_be_given_to_it(place: Place) -> None:
    """It would report on two registries: the parent is told."""
    with ThreadedStreamReporter(3600, path=place.report().path) as reporter:
        with pytest.raises(TapesError, match="running"):
            RegistryAggregator(reporter, place.address).start()

        assert reporter.running


def test_signal_handlers_of_the_parent_are_not_called_in_it(place: Place) -> None:
    """Neither handlers nor the descriptor that wakes an event loop; a signal to it does what it does to others."""
    program = place.run("""
        import faulthandler

        calls = FOLDER / "calls"

        def handler(number, frame):
            with open(calls, "a") as file:
                file.write(f"{number} {os.getpid()}\\n")

        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
        aggregating = aggregator()
        aggregating.start()
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(aggregating.pid, number)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.7)
        aggregating.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        aggregating.start()
        os.kill(aggregating.pid, signal.SIGUSR1)  # which ends whoever does not handle it
        until(lambda: aggregating.pid is None)
        numbers = {int(line.split()[0]) for line in calls.read_text().splitlines()}
        print(sorted(numbers) == sorted([signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM]))
        print({line.split()[1] for line in calls.read_text().splitlines()} == {str(os.getpid())})
        woken = os.read(reading, 4096)
        print(set(woken) == {signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM})
    """)

    place.check(program, said=["True"] * 3)


def test_signals_that_the_parent_blocks_end_it_all_the_same(place: Place) -> None:
    """A mask that is inherited does not make it deaf to `stop()` or SIGTERM."""
    program = place.run("""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD])
        aggregating = aggregator()
        for _ in range(2):
            aggregating.start()
            began = time.monotonic()
            aggregating.stop(timeout=60)
            print(time.monotonic() - began < 45)
        aggregating.start()
        os.kill(aggregating.pid, signal.SIGTERM)
        until(lambda: aggregating.pid is None)
    """)

    place.check(program, said=["True", "True"])


def test_it_is_started_while_an_event_loop_runs(place: Place) -> None:
    """Inside of `asyncio.run()`, also with reporters that want a loop of their own; the loop of the parent goes on."""
    program = place.run("""
        import asyncio

        from tapes.reporting.tornado.stream import TornadoStreamReporter

        async def main():
            registry = worker_registry()
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, lambda: print("SIGTERM", flush=True))
            tornado = TornadoStreamReporter(0.05, path=FOLDER / "tornado")
            with aggregator(stream(), tornado):
                registry.connect()
                registry.counter("served").increment()
                while not (FOLDER / "seen").exists():
                    await asyncio.sleep(0.02)
                registry.close()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.1)

        asyncio.run(main())
    """)
    seen = place.report("tornado").await_last({"served.value": 1})

    place.check(program, seen={"served.value": 1}, said=["SIGTERM"])
    assert seen == {"served.value": 1}


@pytest.mark.parametrize(
    "close",
    [
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = None",
        "os.close(1); os.close(2)",
        "os.close(0); os.close(1); os.close(2); sys.stdin = sys.stdout = sys.stderr = None",
        "sys.stdout = open('/dev/full', 'w'); sys.stdout.write('x')",
    ],
    ids=["closed", "None", "descriptors closed", "daemon", "full"],
)
def test_it_is_started_where_there_is_no_standard_output(place: Place, close: str) -> None:
    """As in a daemon, or where whoever read it has gone."""
    program = place.run(f"""
        {close}
        registry = worker_registry()
        with aggregator():
            registry.connect()
            registry.counter("served").increment(3)
            registry.close()
        note("done")
        os._exit(0)
    """)

    place.check(program, last={"served.value": 3}, said=None)
    assert (place.folder / "done").exists()


def test_it_is_started_by_a_thread_while_others_run(place: Place) -> None:
    """Whatever locks they hold at the moment of the fork, of logging, of imports, of registries, of standard output."""
    program = place.run("""
        import colorsys, importlib, json, shlex, textwrap
        import tapes

        stopping = threading.Event()

        def log(module):
            logger = logging.getLogger("busy")
            logger.addHandler(logging.FileHandler(FOLDER / "busy.log"))
            logger.propagate = False
            while not stopping.is_set():
                logger.warning("busy")
                tapes.counter(f"busy{time.monotonic_ns() % 1000}").increment()
                importlib.reload(module)  # of its own: a module that is being reloaded is not there for a moment
                sys.stdout.write("")
                sys.stdout.flush()

        threads = [threading.Thread(target=log, args=(module,)) for module in (colorsys, json, shlex, textwrap)]
        for thread in threads:
            thread.start()

        def run():
            registry, served = counting()
            registry.connect()
            for _ in range(2):
                with aggregator(stream(HOUR)):
                    served.increment()
            with aggregator(stream(HOUR)):
                registry.close()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        stopping.set()
        for thread in threads:
            thread.join()
    """)

    place.check(program, last={"served.value": 2})


def test_it_holds_no_socket_of_the_parent_open_after_that(place: Place) -> None:
    """The port of a server that listened before it was started is free as soon as the program has ended."""
    port = free_port()  # nobody else is given it when it is free again
    program = place.run(f"""
        import socket

        listener = socket.create_server(("127.0.0.1", {port}))
        aggregator().start()
        os._exit(0)
    """)

    place.check(program)
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))


@pytest.mark.parametrize("action", ["signal.SIG_IGN", "signal.SIG_DFL", "lambda *_: os.waitpid(-1, os.WNOHANG)"])
def test_no_zombie_is_left_whatever_the_parent_does_about_its_children(place: Place, action: str) -> None:
    """Also where the system or a handler takes the status of all children before `stop()` can; `pid` knows of it."""
    program = place.run(f"""
        signal.signal(signal.SIGCHLD, {action})
        aggregating = aggregator()
        for _ in range(2):
            aggregating.start()
            began = time.monotonic()
            aggregating.stop(timeout=60)
            print(time.monotonic() - began < 45, aggregating.pid)
        aggregating.start()
        os.kill(aggregating.pid, signal.SIGKILL)
        until(lambda: aggregating.pid is None)
        print(open(f"/proc/self/task/{{os.getpid()}}/children").read() == "")
    """)

    place.check(program, said=["True None", "True None", "True"])


def test_a_server_that_waits_for_its_children_may_take_its_status(place: Place) -> None:
    """`os.wait()` of a server that supervises its workers gets the aggregator's number too, and nothing breaks."""
    program = place.run("""
        registry, served = counting()

        def work():
            registry.connect()
            served.increment()

        aggregating = aggregator()
        aggregating.start()
        pid = aggregating.pid
        workers = [forked(work) for _ in range(3)]
        waited = {os.wait()[0] for _ in workers}
        print(waited == set(workers))
        os.kill(pid, signal.SIGTERM)
        print(os.wait()[0] == pid)
        print(aggregating.pid)
        aggregating.stop()
    """)

    place.check(program, last={"served.value": 3}, said=["True", "True", "None"])


def test_it_does_not_use_the_context_of_the_parent(place: Place) -> None:
    """A program that uses 0MQ itself, and publishes, starts an aggregator all the same; its sockets stay its own."""
    program = place.run("""
        import zmq

        context = zmq.Context.instance()
        pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        pull.bind(f"ipc://{FOLDER}/own")
        push.connect(f"ipc://{FOLDER}/own")
        registry = worker_registry()
        registry.connect()
        with aggregator():
            registry.counter("served").increment(3)
            push.send(b"hello")
            print(pull.recv())
            noted("seen")
            registry.close()
        push.send(b"again")
        print(pull.recv())
        context.destroy(0)
    """)

    place.check(program, seen={"served.value": 3}, said=["b'hello'", "b'again'"])


def test_what_it_logs_goes_where_its_parent_logs(place: Place) -> None:
    """The handlers of logging that the parent has set up serve the aggregator, too."""
    program = place.run("""
        import zmq

        logging.getLogger().addHandler(logging.FileHandler(FOLDER / "own.log"))
        with aggregator():
            context = zmq.Context()
            pub = context.socket(zmq.XPUB)
            pub.connect(ADDRESS)
            pub.recv()
            pub.send(b"nonsense")
            noted("seen")
            context.destroy(0)
    """)

    place.check(program, seen={"tapes.aggregator.bad_frames.value": 1}, said=None)
    assert len((place.folder / "own.log").read_text().splitlines()) == 1
    assert len(program.lines()) == 1
