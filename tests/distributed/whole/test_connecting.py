"""Who forgets `connect()`, calls it twice, or at another time, gets what was meant, or is told."""

from __future__ import annotations

import time

import pytest

from tests.distributed.servers.serving import needs
from tests.distributed.whole.programs import Place
from tests.servers.processes import until

FORGOTTEN = "never called connect()"
UNCONFIRMED = "has confirmed its last report"
WORKERS = "tapes.aggregator.workers.value"


def test_a_forgotten_connect_is_said_at_exit(place: Place) -> None:
    """A process that has recorded and never connected says so in one line of the log when it exits."""
    program = place.run("""
        registry, served = counting()
        served.increment()
        registry.timer("latency").update(1)
    """)

    place.check(program, said=None)
    (line,) = program.lines()
    assert line.startswith(f"WARNING tapes.distributed: The records of process {program.pid} in the")
    assert place.address in line
    assert FORGOTTEN in line


@pytest.mark.parametrize("way", ["os.fork", "fork", "spawn", "forkserver"])
def test_each_worker_that_has_forgotten_says_so(place: Place, way: str) -> None:
    """However a worker was made, it says itself that it has not connected; the parent has nothing to say."""
    program = place.run(
        """
        registry, served = counting()

        def serve(number):
            served.increment(number)

        if __name__ == "__main__":
            if sys.argv[1] == "os.fork":
                join(*[forked(lambda: serve(1)) for _ in range(2)])
            else:
                processes(sys.argv[1], serve, 1, 1)
    """,
        way,
    )

    place.check(program, said=None)
    assert [FORGOTTEN in line for line in program.lines()] == [True, True]
    assert f"process {program.pid} " not in program.said()


def test_who_has_nothing_to_tell_is_not_told_anything(place: Place) -> None:
    """A registry that was never connected and in which nothing was counted is no reason for a word."""
    program = place.run("""
        registry, served = counting()
        registry.timer("latency")
        registry.gauge("memory", lambda: 1)
    """)

    place.check(program)


def test_who_has_nothing_to_tell_is_not_held_up_at_exit(place: Place) -> None:
    """A parent that has connected for its children, and counted nothing, exits without a word after its aggregator."""
    program = place.run("""
        registry, served = counting()
        registry.connect()
        with aggregator():
            join(*[forked(served.increment) for _ in range(2)])
    """)

    place.check(program, last={"served.value": 2})


def test_an_aggregator_says_that_nobody_has_come(place: Place) -> None:
    """Where all workers have forgotten to connect, and end without a word, the aggregator says so."""
    program = place.run("""
        from tapes.distributed import service as module

        module._ALONE = 0.3
        registry = worker_registry()
        with aggregator():
            pid = forked(idle)
            noted("enough")
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    """)
    until(lambda: "connect()" in program.said(), "it says so")
    place.note("enough")

    place.check(program, said=None)
    assert len([line for line in program.lines() if "connect()" in line]) == 1, program.said()


def test_connect_twice_is_connect_once(place: Place) -> None:
    """Further calls, also from other threads at the same time, change nothing: one thread publishes one worker."""
    program = place.run("""
        registry, served = counting()
        with aggregator():
            gate = threading.Barrier(8)

            def connect():
                gate.wait()
                registry.connect()

            threads = [threading.Thread(target=connect) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            served.increment(7)
            registry.connect()
            registry.connect()
            print(publishers())
            noted("seen")
            registry.close()
            print(publishers())
    """)
    said = ["['tapes-ZmqReporter']", "[]"]

    place.check(program, seen={"served.value": 7, WORKERS: 1}, last={"served.value": 7}, said=said)


@pytest.mark.parametrize("again", ["", "registry.connect()"], ids=["once", "again-in-each"])
def test_connect_before_the_fork_connects_parent_and_children(place: Place, again: str) -> None:
    """Each child publishes by itself, as one worker of its own, also if it connects again, and the parent goes on."""
    program = place.run(f"""
        registry, served = counting()

        def work():
            {again}
            served.increment(10)
            say(publishers())
            noted("seen")
            served.increment(10)

        with aggregator():
            registry.connect()
            served.increment(1)
            children = [forked(work) for _ in range(3)]
            served.increment(1)
            {again}
            noted("seen")
            join(*children)
            served.increment(1)
            registry.close()
    """)
    said = ["['tapes-ZmqReporter']"] * 3

    place.check(program, seen={"served.value": 32, WORKERS: 4}, last={"served.value": 63}, said=said)


def test_an_aggregator_that_is_started_after_connect_publishes_nothing_itself(place: Place) -> None:
    """The process of the aggregator, forked from one that publishes, is no worker."""
    program = place.run("""
        registry, served = counting()
        registry.gauge("process", os.getpid, merge="max")
        registry.connect()
        served.increment(5)
        with aggregator():
            noted("seen")
            registry.close()
    """)

    place.check(program, seen={"served.value": 5, "process.value": program.pid, WORKERS: 1})


def test_close_and_connect_again_goes_on(place: Place) -> None:
    """What was told before `close()` is not counted twice, and what was counted between it and `connect()` is told."""
    program = place.run("""
        registry, served = counting()
        latency = registry.timer("latency")

        def serve(n):
            served.increment(n)
            for _ in range(n):
                latency.update(0.5)

        with aggregator():
            for _ in range(3):
                serve(1)
                registry.connect()
                serve(10)
                registry.close()
                serve(100)
            registry.close()
            registry.connect()
            registry.close()
    """)

    place.check(program, last={"served.value": 333, "latency.count": 333, "latency.sum": 166.5, "latency.max": 0.5})


def test_close_is_for_this_process_alone(place: Place) -> None:
    """A child that closes leaves the connection of its parent, and one whose parent has closed may connect."""
    program = place.run("""
        registry, served = counting()

        def leave():
            served.increment(10)
            registry.close()

        def come():
            served.increment(1000)
            registry.connect()

        with aggregator():
            registry.connect()
            join(*[forked(leave) for _ in range(3)])
            served.increment(100)
            noted("seen")
            registry.close()
            join(*[forked(come) for _ in range(3)])
    """)

    place.check(program, seen={"served.value": 130}, last={"served.value": 3130})


def test_a_child_of_a_parent_that_has_closed_does_not_publish_and_says_so(place: Place) -> None:
    """Whoever has closed does not go on in a child by itself: what is counted there is missing, and that is logged."""
    program = place.run("""
        registry, served = counting()
        with aggregator():
            registry.connect()
            served.increment()
            registry.close()
            join(forked(lambda: (served.increment(10), say(publishers()))))
    """)

    place.check(program, said=None)
    assert program.lines()[0] == "[]"
    assert [FORGOTTEN in line or UNCONFIRMED in line for line in program.lines()[1:]] == [True]


def test_what_is_counted_after_close_is_said_at_exit(place: Place) -> None:
    """Whoever counts after `close()` and does not connect again is told at exit; who does not count is not."""
    program = place.run("""
        told, silent = worker_registry(), worker_registry()
        with aggregator():
            for registry in (told, silent):
                registry.connect()
                registry.counter("served").increment()
                registry.close()
            told.counter("served").increment()
    """)

    place.check(program, last={"served.value": 2}, said=None)
    assert len(program.lines()) == 1


def test_two_registries_of_one_process_are_both_seen(place: Place) -> None:
    """Two registries for one aggregator add up, as those of two processes do."""
    program = place.run("""
        first, second = worker_registry(), worker_registry()
        with aggregator():
            for registry, n in ((first, 1), (second, 10)):
                registry.connect()
                registry.counter("served").increment(n)
                registry.gauge("stock").set(n)
            second.counter("other").increment(5)
            noted("seen")
            first.close()
            second.close()
    """)
    counts = {"served.value": 11, "other.value": 5}

    place.check(program, seen={**counts, "stock.value": 11, WORKERS: 2}, last=counts)


def test_the_same_registry_is_published_to_an_aggregator_once(place: Place) -> None:
    """A second reporter to the same address, which would count everything twice, is an error; to another it is not."""
    program = place.run("""
        from tapes.errors import ReporterStateError

        def start_another(address):
            try:
                ZmqReporter(0.1, address, registry).start()
            except ReporterStateError as error:
                print(error)

        registry, served = counting()
        served.increment(3)
        other = ZmqReporter(0.1, f"ipc://{FOLDER}/b", registry)
        with aggregator(), aggregator(stream(name="other"), address=f"ipc://{FOLDER}/b"):
            registry.connect()
            start_another(ADDRESS)
            other.start()
            start_another(f"ipc://{FOLDER}/b")
            noted("seen")
            registry.close()
            other.stop()
            with ZmqReporter(0.1, ADDRESS, registry):
                served.increment()
    """)
    said = [
        f"The same registry is published to ipc://{place.folder}/{name} by ZmqReporter(interval=0.1, "
        f"socket_addr='ipc://{place.folder}/{name}') already: stop one of the two."
        for name in "ab"
    ]
    seen = place.report("other").await_last({"served.value": 3})

    place.check(program, seen={"served.value": 3}, last={"served.value": 4}, said=said)
    assert seen == {"served.value": 3}


def test_a_config_connects_the_process_wide_registry(place: Place) -> None:
    """The reporter `zmq` of a config publishes what `tapes.counter()` and the like make, also in forked children."""
    program = place.run("""
        import tapes

        served = tapes.counter("served")
        served.increment(1)
        with aggregator():
            config = {"reporters": {"zmq": {"interval": 0.1, "socket_addr": ADDRESS}}}
            with tapes.configure(config):
                join(*[forked(lambda: served.increment(10)) for _ in range(3)])
                noted("seen")
                served.increment(100)
    """)

    place.check(program, seen={"served.value": 31, WORKERS: 1}, last={"served.value": 131})


def test_a_fork_while_threads_record_and_publish_loses_and_doubles_nothing(place: Place) -> None:
    """Ten forks of a process that records in four threads and publishes all the while: each event counts once."""
    program = place.run("""
        sys.setswitchinterval(1e-4)
        registry, served = counting(interval=0.01)
        latency = registry.timer("latency")
        stopping = threading.Event()
        made = [0] * 4

        def record(number):
            while not stopping.is_set():
                serve(50)
                made[number] += 50
                time.sleep(0.0005)

        def serve(number):
            for _ in range(number):
                served.increment()
                latency.update(0.001)

        with aggregator():
            registry.connect()
            threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            join(*[forked(lambda: serve(1_000)) for _ in range(10)])
            stopping.set()
            for thread in threads:
                thread.join()
            registry.close()
        print(sum(made) + 10 * 1_000)
    """)

    place.check(program, said=None)
    (counted,) = map(int, program.lines())
    expected = {"served.value": counted, "latency.count": counted, "tapes.aggregator.bad_frames.value": 0}
    assert place.report().last(*expected) == expected


def test_a_fork_in_the_middle_of_a_flush_leaves_it_to_the_parent(place: Place) -> None:
    """Who is asked for a value forks: the parent goes on with the flush, and the child is told that it is not its own.

    Sockets of 0MQ cannot be used there, and wait for ever if they are.
    """
    script = """
        registry = Registry()
        reporter = ZmqReporter(HOUR, ADDRESS, registry)
        armed, children = [], []

        def produce():
            if armed and not children:
                children.append(os.fork())
            return 5

        registry.gauge("stock", produce)
        with aggregator():
            reporter.report()
            registry.counter("served").increment(7)
            armed.append(True)
            try:
                reporter.report()
            except Exception as error:
                say(f"{os.getpid() in children} {error!r}")
                os._exit(0)
            join(*children)
            reporter.report()
            reporter.close()
            noted("seen")
    """
    program = place.run(script, options=["-W", "ignore:This process:DeprecationWarning"])  # of a fork, since 3.12
    said = ["False ReporterError('This connection belongs to the parent process.')"]

    place.check(program, seen={"served.value": 7, "stock.value": 5}, said=said)


@pytest.mark.parametrize(("interval", "children"), [("0.05", 3), ("HOUR", 1)], ids=["when-due", "when-asked"])
def test_a_fork_while_greenlets_publish_loses_and_doubles_nothing(place: Place, interval: str, children: int) -> None:
    """With gevent a flush that is under way goes on in the child too. It ends there, and the child tells its own."""
    needs("gevent")
    script = f"""
        registry = Registry()
        reporter = ZmqReporter({interval}, ADDRESS, registry)
        served = registry.counter("served")
        asking = threading.Event()
        asked = threading.Event()

        def produce():
            asking.set()
            asked.wait(1)
            return 5

        registry.gauge("stock", produce)

        def work():
            asked.set()
            served.increment(10)
            time.sleep(0.5)

        reporter.start()
        until(lambda: reporter.reports)
        with aggregator():
            served.increment(1)
            children = []
            for _ in range({children}):
                asking.clear()
                asking.wait()
                children.append(forked(work))
            join(*children)
            asked.set()
            reporter.stop()
            noted("seen")
    """
    program = place.run(script, options=["-m", "gevent.monkey"])

    place.check(program, seen={"served.value": 1 + 10 * children})


@pytest.mark.parametrize("opened", [0, 40], ids=["closed", "used-again"])
def test_a_program_that_closes_all_files_goes_on(place: Place, opened: int) -> None:
    """As a daemon does, 0MQ's among them: another connection is made, and nothing is lost or written elsewhere."""
    program = place.run(f"""
        registry, served = counting()
        if os.fork():
            with aggregator():
                noted("seen")
                os.wait()
            sys.exit()
        registry.connect()
        served.increment(1)
        await_introduction(registry)
        until(lambda: all(others_wait() for _ in range(20)), "0MQ neither sends nor receives")
        os.closerange(3, 1000)
        files = [open(FOLDER / f"file{{number}}", "w+") for number in range({opened})]
        served.increment(10)
        noted("seen")
        served.increment(100)
        atexit.register(lambda: say(sum(os.fstat(file.fileno()).st_size for file in files)))
    """)

    place.check(program, seen={"served.value": 11}, last={"served.value": 111}, said=["0"])


def test_children_of_children_are_workers_too(place: Place) -> None:
    """Every generation counts its own, whichever of them has connected."""
    program = place.run("""
        registry, served = counting()

        def grandchild():
            served.increment(100)
            noted("seen")

        def child():
            served.increment(10)
            pid = forked(grandchild)
            noted("seen")
            join(pid)

        with aggregator():
            registry.connect()
            served.increment(1)
            children = [forked(child) for _ in range(2)]
            noted("seen")
            join(*children)
            registry.close()
    """)

    place.check(program, seen={"served.value": 221, WORKERS: 5}, last={"served.value": 221})


@pytest.mark.parametrize("end", ["registry.close()", "pass"], ids=["closes", "exits"])
def test_without_an_aggregator_the_exit_is_prompt_and_one_line_is_logged(place: Place, end: str) -> None:
    """A worker whose aggregator was never there says what may be lost, once, and exits within its deadline."""
    program = place.run(f"""
        registry, served = counting()
        registry.connect()
        served.increment()
        time.sleep(0.3)
        (FOLDER / "began").write_text(str(time.monotonic()))
        {end}
    """)

    place.check(program, said=None)
    assert time.monotonic() - float((place.folder / "began").read_text()) < 30
    (line,) = program.lines()
    assert line.startswith("WARNING tapes.distributed: ZmqReporter(")
    assert place.address in line
    assert UNCONFIRMED in line


def test_what_is_counted_in_isolation_is_told_apart(place: Place) -> None:
    """By another worker: the totals never go back, and what was told before is not told again."""
    program = place.run("""
        from tapes.testing import isolated_registry

        registry, served = counting()
        registry.gauge("memory", lambda: 1)

        def told():
            numbers = registry._publisher.sent_numbers().get(served)
            return None if numbers is None else served.state(numbers).value

        with aggregator():
            registry.connect()
            served.increment(40)
            until(lambda: told() == 40)
            with isolated_registry(registry):
                assert told() is None
                served.increment()
                until(lambda: told() == 1)
            assert told() == 40
            served.increment(2)
            registry.close()
    """)

    place.check(program)
    shown = [value for value in place.report().history("served.value") if value is not None]
    assert shown == sorted(shown)
    assert shown[-1] == 43
