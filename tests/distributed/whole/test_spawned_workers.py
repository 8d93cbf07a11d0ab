"""Workers that are spawned import the program anew: what it does at import is done there, too."""

from __future__ import annotations

import pytest

from tests.distributed.whole.programs import Place

methods = pytest.mark.parametrize("method", ["spawn", "forkserver"])


@methods
def test_an_aggregator_that_every_import_starts_stands_by_in_workers(place: Place, method: str) -> None:
    """Started outside of `if __name__`, it says in the workers that there is one, and the first is not harmed."""
    program = place.run(
        """
        registry, served = counting()
        aggregating = aggregator()
        aggregating.start()

        if __name__ == "__main__":
            registry.connect()
            print(processes(sys.argv[1], print, "work", "work"))
            served.increment(3)
            registry.close()
            aggregating.stop()
        """,
        method,
    )

    place.check(program, last={"served.value": 3}, said=None)
    assert "[0, 0]" in program.lines()
    assert f"at {place.address} already. This one stands by" in program.said()


def test_a_pool_of_spawned_workers_that_are_recycled(place: Place) -> None:
    """Workers that come and go by the number of their tasks lose nothing."""
    program = place.run("""
        registry, served = counting()

        def task(number):
            registry.connect()
            served.increment(number)
            return number

        if __name__ == "__main__":
            with aggregator():
                with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=2) as pool:
                    print(sum(pool.imap_unordered(task, range(8), chunksize=1)))
                    pool.close()
                    pool.join()
    """)

    place.check(program, last={"served.value": 28}, said=["28"])


@methods
def test_connect_at_import_connects_each(place: Place, method: str) -> None:
    """A program that connects where it makes its registry connects each of its processes by that."""
    program = place.run(
        """
        registry, served = counting()
        registry.connect()

        def work(number):
            served.increment(number)

        if __name__ == "__main__":
            with aggregator():
                print(processes(sys.argv[1], work, 1, 20, 300))
                registry.close()
        """,
        method,
    )

    place.check(program, last={"served.value": 321}, said=["[0, 0, 0]"])


@methods
def test_registries_are_not_sent_to_spawned_workers(place: Place, method: str) -> None:
    """To give one as an argument cannot work, and is an error that names it, before anything is started."""
    program = place.run(
        """
        registry = worker_registry()

        def work(registry):
            registry.counter("served").increment()

        if __name__ == "__main__":
            try:
                processes(sys.argv[1], work, registry)
            except (TypeError, AttributeError) as error:
                print(type(error).__name__)
        """,
        method,
    )

    place.check(program, said=["NotPortableError"])
